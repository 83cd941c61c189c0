"""The answer of a model that thinks first: its reasoning must not become training text.

A model marks its reasoning by tokens of its own, so the answer is found among the tokens and not in the text,
where a document could forge the marks. Two kinds of marks are known: a pair around the reasoning, of which
the chat template may write the first one itself, and the channels of harmony, gpt-oss' format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_worker.rendering.errors import RenderError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PAIRS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("◁think▷", "◁/think▷"),
)
_HARMONY = ("<|channel|>", "<|message|>", "<|end|>")
_FINAL = "final"


@dataclass(frozen=True, slots=True)
class Tags:
    """A pair of tokens around the reasoning."""

    begin: int
    end: int
    opened: bool
    """The prompt ends inside the reasoning."""

    def answer(self, ids: Sequence[int]) -> Sequence[int] | None:
        """The tokens of the answer; None if the reasoning has not ended."""
        if self.end in ids:
            return ids[ids.index(self.end) + 1 :]
        return None if self.opened or self.begin in ids else ids


@dataclass(frozen=True, slots=True)
class Harmony:
    """Channels: the answer is the message in the last channel that is named final."""

    channel: int
    message: int
    end: int
    final: tuple[int, ...]

    def answer(self, ids: Sequence[int]) -> Sequence[int] | None:
        """The tokens of the answer; None if there is none yet."""
        if self.channel not in ids and self.message not in ids:
            return ids
        start = None
        for place, token in enumerate(ids):
            if token == self.channel and tuple(ids[place + 1 : place + 1 + len(self.final)]) == self.final:
                rest = list(ids[place:])
                start = place + rest.index(self.message) + 1 if self.message in rest else None
        if start is None:
            return None
        rest = list(ids[start:])
        return rest[: rest.index(self.end)] if self.end in rest else rest


class Reasoning:
    """Finds the answer in what the model has generated."""

    def __init__(self, marks: Tags | Harmony, decode: Callable[[Sequence[int]], str]) -> None:
        self._marks = marks
        self._decode = decode

    def answer(self, text: str, token_ids: Sequence[int], stop: Sequence[str]) -> str | None:
        """The text of the answer, up to a stop string; None if the model was still thinking.

        `text` is the engine's, of all the tokens. It stays as it is where the model has not thought.
        """
        found = self._marks.answer(token_ids)
        if found is None:
            return None
        if len(found) == len(token_ids):
            return text
        # A limit can cut the last character into two. Engines leave out such a half, too.
        answer = self._decode(found).lstrip().rstrip("\ufffd")
        ends = [at for string in stop if (at := answer.find(string)) >= 0]
        return answer[: min(ends)] if ends else answer


def reasoning(tokenizer: PreTrainedTokenizerBase, prompt: str) -> Reasoning | None:
    """How the model of this tokenizer marks its reasoning; None if it has no marks for it.

    `prompt` is any rendered prompt. Raises RenderError when it opens a reasoning whose end can't be found.
    """

    def decode(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    ids = tokenizer.get_vocab()
    if all(mark in ids for mark in _HARMONY):
        final = tuple(tokenizer.encode(_FINAL, add_special_tokens=False))
        channel, message, end = (ids[mark] for mark in _HARMONY)
        return Reasoning(Harmony(channel, message, end, final), decode)
    for begin, end in _PAIRS:
        opened = prompt.rstrip().endswith(begin)
        if begin in ids and end in ids:
            return Reasoning(Tags(ids[begin], ids[end], opened), decode)
        if opened:
            raise RenderError(
                f"its chat template begins every answer with reasoning ({begin}), and its tokenizer has no "
                f"token {end} by which the end can be found. Choose another model"
            )
    return None
