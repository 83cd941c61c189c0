"""A simulated engine: placeholder text without a model, for fleet-size and fault tests.

Its text says that it is simulated, and depends on the prompt alone. The constructor sets latency and
failures; for a whole worker the environment does:

| variable | meaning | default |
|---|---|---|
| REPHRASE_SIMULATED_STARTUP_SECONDS | how long loading takes | 0 |
| REPHRASE_SIMULATED_TOKEN_SECONDS | time between two tokens of a request | 0 |
| REPHRASE_SIMULATED_OUTPUT_TOKENS | tokens of an output, at most maxTokens | 32 |
| REPHRASE_SIMULATED_FAIL_EVERY | every n-th request fails and becomes an error row | never |
| REPHRASE_SIMULATED_DIE_AFTER | the engine dies after it has answered this many requests | never |
| REPHRASE_SIMULATED_HANG_AFTER | the engine makes no token after it has answered this many | never |
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from hashlib import sha256

from rephrase_worker import spec
from rephrase_worker.clock import Clock, MonotonicClock
from rephrase_worker.engine import (
    Completion,
    EngineDiedError,
    GenerationRequest,
    RequestFailedError,
)

MODEL_NAME = "simulated"
"""`model` of every sample of this engine, whichever model the recipe names."""

DEFAULT_CONTEXT = 8192
DEFAULT_SEQUENCES = 256


class SimulatedEngine:
    """`Engine` without a model. Cached prompt tokens are always 0."""

    def __init__(
        self,
        *,
        engine: spec.EngineSettings | None = None,
        sampling: spec.Sampling | None = None,
        clock: Clock | None = None,
        startup_seconds: float = 0.0,
        token_seconds: float = 0.0,
        output_tokens: int = 32,
        fail_every: int | None = None,
        die_after: int | None = None,
        hang_after: int | None = None,
    ) -> None:
        settings = engine or spec.EngineSettings()
        self.max_model_len = settings.max_model_len or DEFAULT_CONTEXT
        self.max_num_seqs = settings.max_num_seqs or DEFAULT_SEQUENCES
        self.generated_tokens = 0
        self.requests: list[GenerationRequest] = []
        """Every request admitted so far, in order."""
        self.answered = 0
        self.started = False
        self.closed = False
        self._clock = clock or MonotonicClock()
        self._startup_seconds = startup_seconds
        self._token_seconds = token_seconds
        self._output_tokens = min(output_tokens, (sampling or spec.Sampling()).max_tokens)
        self._fail_every = fail_every
        self._die_after = die_after
        self._hang_after = hang_after

    @classmethod
    def from_environment(
        cls,
        engine: spec.EngineSettings,
        sampling: spec.Sampling,
        environment: Mapping[str, str] = os.environ,
        *,
        clock: Clock | None = None,
    ) -> SimulatedEngine:
        """The engine that the variables listed above ask for. Raises ValueError on a bad number."""

        def number(name: str, default: str) -> float:
            return float(environment.get(f"REPHRASE_SIMULATED_{name}", default))

        def count(name: str) -> int | None:
            value = environment.get(f"REPHRASE_SIMULATED_{name}")
            return None if value is None else int(value)

        return cls(
            engine=engine,
            sampling=sampling,
            clock=clock,
            startup_seconds=number("STARTUP_SECONDS", "0"),
            token_seconds=number("TOKEN_SECONDS", "0"),
            output_tokens=int(number("OUTPUT_TOKENS", "32")),
            fail_every=count("FAIL_EVERY"),
            die_after=count("DIE_AFTER"),
            hang_after=count("HANG_AFTER"),
        )

    async def start(self) -> None:
        """Wait for the start-up time that was set."""
        await self._clock.sleep(self._startup_seconds)
        self.started = True

    async def generate(self, request: GenerationRequest) -> Completion:
        """Answer after the latency that was set, or fail as was set."""
        self.requests.append(request)
        number = len(self.requests)
        tokens = self._output_tokens
        if request.sampling is not None:
            tokens = min(tokens, request.sampling.max_tokens)
        for _ in range(tokens):
            if self._hang_after is not None and self.answered >= self._hang_after:
                await asyncio.Event().wait()
            await self._clock.sleep(self._token_seconds)
            if self._die_after is not None and self.answered >= self._die_after:
                raise EngineDiedError(f"the simulated engine died after {self.answered} requests, as asked")
            self.generated_tokens += 1
        self.answered += 1
        if self._fail_every is not None and number % self._fail_every == 0:
            raise RequestFailedError(f"simulated failure of request {number}")
        return Completion(
            text=simulated_text(request, tokens),
            finish_reason="stop",
            prompt_tokens=len(request.prompt_token_ids),
            cached_prompt_tokens=0,
            output_tokens=tokens,
        )

    async def close(self) -> None:
        """Note that the engine was closed."""
        self.closed = True


def simulated_text(request: GenerationRequest, tokens: int) -> str:
    """The placeholder for a prompt: the same for the same prompt and seed."""
    digest = sha256(repr((request.prompt_token_ids, request.seed)).encode()).hexdigest()[:12]
    return f"[simulated output {digest}]" + " word" * max(0, tokens - 4)
