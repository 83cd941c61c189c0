"""Engines: what turns prompt tokens into text.

The generation loop knows only this protocol. `vllm.py` is the real engine. `simulated.py` writes placeholder
text, for fleet-size and fault tests, and is called simulated wherever it can be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rephrase_worker.spec import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One output of one prompt for one document."""

    id: str
    """Unique in this process."""
    prompt_token_ids: list[int]
    seed: int | None = None
    sampling: Sampling | None = None
    """How this request is sampled. None: as the engine was told for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The engine's answer to a request; counts are in tokens."""

    text: str
    finish_reason: str
    """`stop` or `length`, as vLLM names them."""
    prompt_tokens: int
    cached_prompt_tokens: int
    """Prompt tokens that came from the KV prefix cache."""
    output_tokens: int
    token_ids: Sequence[int] = ()
    """The tokens of the output, the one that ended it included."""


class RequestFailedError(Exception):
    """The engine refused or lost this request, but can go on: the sample becomes an error row."""


class EngineDiedError(Exception):
    """The engine can't go on: the worker ends, and another attempt resumes its shard."""


class Engine(Protocol):
    """An engine that serves many requests at once, from one asyncio loop."""

    async def start(self) -> None:
        """Load the model. Takes minutes on a GPU. Raises EngineDiedError."""

    @property
    def max_model_len(self) -> int:
        """Context length in tokens, prompt and output together; known once started."""

    @property
    def max_num_seqs(self) -> int:
        """Sequences that the scheduler runs at once; known once started."""

    @property
    def generated_tokens(self) -> int:
        """Output tokens made since the start, unfinished requests included. Never falls."""

    async def generate(self, request: GenerationRequest) -> Completion:
        """Run one request to its end; cancelling the call aborts the request.

        Raises RequestFailedError or EngineDiedError.
        """

    async def close(self) -> None:
        """End the engine and its processes within seconds, even if it hangs."""
