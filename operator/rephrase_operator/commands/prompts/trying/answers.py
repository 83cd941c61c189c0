"""What was asked and what came back: the data that answering and showing share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rephrase_worker.quality import structure
from rephrase_worker.spec import Prompt, Sampling

DEFAULT_MAX_TOKENS = 512
"""Longest output where neither the command line nor the prompt says one."""


class TryError(Exception):
    """Nothing can be tried. The message says why, and what to do."""


@dataclass(frozen=True)
class Document:
    """A document of the user's file."""

    name: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    """The texts of other columns that prompts have placeholders for."""


@dataclass(frozen=True)
class TriedPrompt:
    """A prompt as it is tried."""

    name: str
    """What is shown: the library's name, or the file's."""
    prompt: Prompt
    sampling: Sampling


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One prompt's output for one document; tokens are None where the server does not count them."""

    text: str = ""
    error: str | None = None
    finish_reason: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    truncated: bool = False
    """The document was cut to fit the context."""

    @property
    def cut(self) -> bool:
        """The output met the token limit."""
        return self.finish_reason == "length"

    def has_structure(self, prompt: TriedPrompt) -> bool | None:
        """Whether it has the structure that the prompt asks for; None where none is known or on an error."""
        name = prompt.prompt.structure
        if name is None or name not in structure.names() or self.error is not None:
            return None
        return structure.holds(name, self.text)


class Answering(Protocol):
    """Who answers: a model on this machine, or a server."""

    model: str

    async def start(self) -> None:
        """Get ready. Raises TryError or WorkerError."""

    async def answer(self, prompt: TriedPrompt, document: Document) -> Answer:
        """Ask. What concerns this document alone is the answer's error. Raises TryError for all else."""

    async def close(self) -> None:
        """Let go of what was started."""


Row = tuple[Document, list[Answer]]
"""A document and the answers of every prompt, in their order."""
