"""The prompts of documents, cut to the model's context.

If a document does not fit, its end is cut off at a token's boundary. The instruction is never cut. All
prompts of a document get the same part of it, so that prompts that put the document first share its KV cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rephrase_worker.rendering.errors import DocumentError
from rephrase_worker.rendering.placeholders import check_templates, parse
from rephrase_worker.rendering.reasoning import Reasoning
from rephrase_worker.rendering.tokenizer import Instruction, Tokenizer
from rephrase_worker.spec import Prompt, Reason, WorkerError

_PROBE = "x"
_FIRST_LOOK = 8
"""Characters that are tokenized at first for each token of room. Web text has 3 to 5 characters a token."""


@dataclass(frozen=True, slots=True)
class RenderedDocument:
    """The prompts of one document, by prompt name."""

    prompt_token_ids: dict[str, list[int]]
    truncated: bool
    """The end of the document was cut off to fit the context."""


class Renderer:
    """Renders documents for a fixed set of prompts. Used from one thread at a time.

    `max_model_len` and `max_tokens` are in tokens. Raises WorkerError(INVALID_RECIPE) when an
    instruction and its output alone exceed the context.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompts: Sequence[Prompt], *, max_model_len: int, max_tokens: int
    ) -> None:
        check_templates(prompts)
        self._tokenizer = tokenizer
        self._templates = {prompt.name: parse(prompt) for prompt in prompts}
        self._plain = [name for name, template in self._templates.items() if not template.columns]
        self._columns = tuple(
            dict.fromkeys(name for template in self._templates.values() for name in template.columns)
        )
        self._room = max_model_len - max_tokens
        # Measured around a document, because without one the texts on both sides of it would share tokens.
        probe, nothing = len(tokenizer.starts(_PROBE)), dict.fromkeys(self._columns, "")
        instruction = {name: len(ids) - probe for name, ids in self._assemble(_PROBE, nothing).items()}
        longest = max(instruction, key=lambda name: instruction[name])
        self._budget = self._room - instruction[longest]
        if self._budget < 1:
            raise WorkerError(
                Reason.INVALID_RECIPE,
                f"prompts: the instruction of {longest} takes {instruction[longest]} tokens and "
                f"sampling.maxTokens {max_tokens} more, which leaves nothing of the context of "
                f"{max_model_len} tokens for a document. Lower sampling.maxTokens, shorten the prompt, or "
                "raise engine.maxModelLen where the model has more.",
            )

    @property
    def reasoning(self) -> Reasoning | None:
        """How the model marks what it thinks before it answers; None if it does not."""
        return self._tokenizer.reasoning

    @property
    def instructions(self) -> list[Instruction]:
        """The prompts' templates, in order."""
        return [template.instruction for template in self._templates.values()]

    def shorten(self, text: str) -> str:
        """The text without characters that can't fit, so that a huge document does not take much memory."""
        # One character more than is kept, so that `render` still sees that there was more.
        return text[: self._longest + 1]

    def check_fields(self, fields: Mapping[str, str]) -> None:
        """Refuse columns that are longer than the context can be. Raises DocumentError."""
        for name in self._columns:
            if len(fields[name]) > self._longest:
                raise DocumentError(
                    f"column_too_long: the column {name} has {len(fields[name])} characters and does not "
                    "fit the context"
                )

    def render(self, text: str, fields: Mapping[str, str] = MappingProxyType({})) -> RenderedDocument:
        """The prompts for a document and the texts of its columns.

        Raises DocumentError when not even the document's first character fits.
        """
        part = self._fit(text[: self._longest])
        while True:
            prompts = self._assemble(part, fields)
            longest = max(prompts, key=lambda name: len(prompts[name]))
            excess = len(prompts[longest]) - self._room
            if excess <= 0:
                break
            if not part:
                columns = ", ".join(self._templates[longest].columns)
                raise DocumentError(
                    f"column_too_long: the columns of prompt {longest} ({columns}) leave no room for a "
                    "document"
                )
            part = self._shrink(part, excess)
        if text and not part:
            raise DocumentError("context_too_small: not even the document's first character fits the context")
        return RenderedDocument(prompts, truncated=len(part) < len(text))

    @property
    def _longest(self) -> int:
        """Most characters that can fit, if every token is as long as tokens can be."""
        return self._budget * self._tokenizer.longest_token

    def _assemble(self, document: str, fields: Mapping[str, str]) -> dict[str, list[int]]:
        prompts: dict[str, list[int]] = {}
        if self._plain:
            alike = [self._templates[name].instruction for name in self._plain]
            prompts |= zip(self._plain, self._tokenizer.encode(alike, document), strict=True)
        for name, template in self._templates.items():
            if template.columns:
                middle = template.fill(document, fields)
                (prompts[name],) = self._tokenizer.encode([template.instruction], middle)
        return {name: prompts[name] for name in self._templates}

    def _fit(self, text: str) -> str:
        """The longest beginning of the text that has at most `_budget` tokens by itself."""
        # A token covers a byte at least: most documents need no look at their tokens.
        if len(text) <= self._budget and len(text.encode("utf-8", "surrogatepass")) <= self._budget:
            return text
        characters = self._budget * _FIRST_LOOK
        while True:
            look = text[:characters]
            starts = self._tokenizer.starts(look)
            if len(starts) > self._budget:
                return look[: starts[self._budget]]
            if len(look) == len(text):
                return text
            characters *= 4

    def _shrink(self, part: str, excess: int) -> str:
        """The part without its last `excess` tokens, and shorter in any case."""
        starts = self._tokenizer.starts(part)
        kept = max(0, len(starts) - excess)
        end = starts[kept] if kept < len(starts) else len(part)
        return part[: min(end, len(part) - 1)]
