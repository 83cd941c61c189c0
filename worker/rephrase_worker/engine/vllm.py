"""The real engine: vLLM's AsyncLLM in this process, its core in a process of its own.

Only the fields of `spec.EngineSettings` reach vLLM, so that model is the allow-list. vLLM is imported only
when the engine starts, because the import takes seconds.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rephrase_worker import spec
from rephrase_worker.engine import (
    Completion,
    EngineDiedError,
    GenerationRequest,
    RequestFailedError,
)
from rephrase_worker.engine.stderr_tail import MESSAGE_LIMIT, StderrTail
from rephrase_worker.spec import Reason, WorkerError

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.metrics.loggers import AggregateStatLoggerBase

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    # This process has threads by the time vLLM starts its core. A forked child would have no such threads,
    # and a lock that one of them held at that moment would stay locked in it for ever. So: spawn.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    # On a CPU vLLM binds its threads to the first cores of the machine. Other pods on the machine would do
    # the same, and all of them would share these cores while the rest stood idle.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""Defaults that have to be set before vLLM is imported. vLLM gets the model as a folder and asks nobody."""

NOT_ARGUMENTS = {
    "backend",
    "speculation",
    "max_requests_in_flight",
    "hang_timeout_seconds",
    "commit_interval_seconds",
}
"""Fields of spec.EngineSettings for the worker itself. All others are vLLM arguments of the same name."""

CLOSE_SECONDS = 1.0
"""How long the engine core may take to end before it is killed. It has nothing to save."""


def set_environment() -> None:
    """Set the defaults of `ENVIRONMENT` that the environment does not set itself."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def engine_arguments(
    engine: spec.EngineSettings, model: spec.Model, folder: str, *, seeded: bool, on_cpu: bool
) -> dict[str, Any]:
    """The keyword arguments of AsyncEngineArgs. vLLM chooses what is unset.

    `folder` holds the model. In vLLM's metrics the model keeps the name that the user gave it.
    """
    arguments = engine.model_dump(exclude=NOT_ARGUMENTS, exclude_none=True)
    arguments |= {"model": folder, "served_model_name": model.name}
    if engine.speculation is not None:
        arguments["speculative_config"] = engine.speculation.model_dump(exclude_none=True)
    if seeded and on_cpu and engine.enable_chunked_prefill is None:
        # On a CPU, vLLM 0.32 dies if it prefills a request with a seed in chunks.
        arguments["enable_chunked_prefill"] = False
    return arguments


class _TokenCount:
    """Output tokens over all engine cores, counted once an iteration."""

    def __init__(self) -> None:
        self.total = 0

    def logger(self) -> type[AggregateStatLoggerBase]:
        """A stat logger that adds to this count. Requests with FINAL_ONLY report nothing before their end."""
        from vllm.config import VllmConfig
        from vllm.v1.metrics.loggers import AggregateStatLoggerBase
        from vllm.v1.metrics.stats import IterationStats, MultiModalCacheStats, SchedulerStats

        count = self

        class TokenCountLogger(AggregateStatLoggerBase):
            def __init__(self, vllm_config: VllmConfig, engine_indexes: list[int]) -> None:
                pass

            def record(
                self,
                scheduler_stats: SchedulerStats | None,  # noqa: ARG002 - vLLM's signature
                iteration_stats: IterationStats | None,
                mm_cache_stats: MultiModalCacheStats | None = None,  # noqa: ARG002
                engine_idx: int = 0,  # noqa: ARG002
            ) -> None:
                if iteration_stats is not None:
                    count.total += iteration_stats.num_generation_tokens

            def log_engine_initialized(self) -> None:
                pass

        return TokenCountLogger


class VllmEngine:
    """`Engine` on vLLM. Use one in a process: a second one in the same process can fail.

    Raises WorkerError(INVALID_RECIPE) for settings with which vLLM refuses every request.
    """

    def __init__(
        self,
        *,
        engine: spec.EngineSettings,
        model: spec.Model,
        sampling: spec.Sampling,
        folder: str,
    ) -> None:
        if engine.speculation is not None and sampling.min_p > 0:
            raise WorkerError(
                Reason.INVALID_RECIPE,
                "sampling.minP and engine.speculation exclude each other: vLLM refuses every request with "
                "both, and each would become an error row. Remove engine.speculation.",
            )
        self._engine = engine
        self._model = model
        self._sampling = sampling
        self._folder = folder
        self._tokens = _TokenCount()
        self._llm: AsyncLLM | None = None
        self._stderr: StderrTail | None = None
        self._death: EngineDiedError | None = None

    def _arguments(self) -> AsyncEngineArgs:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform

        return AsyncEngineArgs(
            **engine_arguments(
                self._engine,
                self._model,
                self._folder,
                seeded=self._sampling.seed is not None,
                on_cpu=current_platform.is_cpu(),
            )
        )

    async def start(self) -> None:
        """Import vLLM, load the model and warm up. Blocks the loop: nothing else could run meanwhile."""
        set_environment()
        self._stderr = StderrTail()
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            self._llm = AsyncLLM.from_engine_args(self._arguments(), stat_loggers=[self._tokens.logger()])
        # vLLM passes on whatever its parts raise: ValueError, RuntimeError, errors of pydantic and torch.
        except Exception as error:
            raise EngineDiedError(f"vLLM did not start: {self._why(error)}") from error
        self._stderr.forget()

    @property
    def _running(self) -> AsyncLLM:
        if self._llm is None:
            raise RuntimeError("the engine has not been started")
        return self._llm

    @property
    def max_model_len(self) -> int:
        """The context length that vLLM uses; it may have reduced it to fit the memory."""
        return int(self._running.model_config.max_model_len)

    @property
    def max_num_seqs(self) -> int:
        """The setting, or vLLM's choice for the device."""
        return int(self._running.scheduler_config.max_num_seqs)

    @property
    def generated_tokens(self) -> int:
        """Counted by vLLM once an iteration."""
        return self._tokens.total

    def _sampling_params(self, request: GenerationRequest) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = request.sampling or self._sampling
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            seed=request.seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def generate(self, request: GenerationRequest) -> Completion:
        """Run one request. Its text comes in one piece, at its end."""
        from vllm.exceptions import VLLMError
        from vllm.inputs import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        final = None
        try:
            async for output in self._running.generate(
                tokens_input(request.prompt_token_ids),
                self._sampling_params(request),
                request.id,
            ):
                final = output
        except EngineDeadError as error:
            raise self._died() from error
        except (VLLMError, ValueError) as error:
            if self._running.errored:
                raise self._died() from error
            cause = error.__cause__ or error
            raise RequestFailedError(f"{type(cause).__name__}: {cause}") from error
        answer = None if final is None else final.outputs[0]
        if final is None or answer is None or answer.finish_reason in (None, "abort"):
            # This process has not aborted the request. Something else told the core to stop.
            raise EngineDiedError("vLLM's engine core gave up its requests: something else is stopping it")
        if answer.finish_reason == "error":
            raise RequestFailedError("the engine ended the request with an error")
        return Completion(
            text=answer.text,
            finish_reason=str(answer.finish_reason),
            prompt_tokens=len(request.prompt_token_ids),
            cached_prompt_tokens=final.num_cached_tokens or 0,
            output_tokens=len(answer.token_ids),
            token_ids=answer.token_ids,
        )

    def _why(self, error: Exception) -> str:
        """The cause of a failed start: the last error that the core printed, if the core failed."""
        if self._stderr is not None and "Engine core initialization failed" in str(error):
            return self._stderr.cause() or "the engine core ended without an error message"
        if isinstance(error, ValidationError):
            return "; ".join(fault["msg"] for fault in error.errors(include_url=False))[:MESSAGE_LIMIT]
        return f"{type(error).__name__}: {error}"[:MESSAGE_LIMIT]

    def _died(self) -> EngineDiedError:
        """The error that every request in flight gets."""
        if self._death is None:
            cause = None if self._stderr is None else self._stderr.cause()
            self._death = EngineDiedError(
                f"vLLM's engine core died: {cause}"
                if cause
                else "vLLM's engine core died without an error message, as it does when the kernel kills it "
                "for lack of memory"
            )
        return self._death

    async def close(self) -> None:
        """End the core and its workers; those that don't end in time are killed."""
        if self._llm is not None:
            await asyncio.to_thread(self._llm.shutdown, CLOSE_SECONDS)
            self._llm = None
        if self._stderr is not None:
            await asyncio.to_thread(self._stderr.close)
            self._stderr = None
