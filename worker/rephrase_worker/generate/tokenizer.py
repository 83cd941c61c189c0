"""The model's tokenizer, reduced to what rendering a prompt needs.

A chat template is taken apart once into what stands before and after the user's message. Only these
two are read with control tokens; the message itself is text from the web, and a `<|im_end|>` in it
stays the plain characters that it is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rephrase_worker.spec import ExitCode, Reason, WorkerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SENTINEL = "xqmessagexqgoesxqherexq"


@dataclass(frozen=True, slots=True)
class ChatFrame:
    """The chat template around one user message, as token ids."""

    before: list[int]
    after: list[int]
    """Ends with what opens the model's answer."""
    strips: bool
    """The template strips white space off both ends of the message."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The tokens of a text, and for each the index of its first character."""

    ids: list[int]
    starts: list[int]


class Tokenizer(Protocol):
    """What the renderer asks of a tokenizer. Used from one thread at a time."""

    @property
    def frame(self) -> ChatFrame:
        """The chat template around a user message."""

    @property
    def longest_token(self) -> int:
        """Characters that one token covers at most."""

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise texts, without adding control tokens and without reading any in them."""


class HuggingFaceTokenizer:
    """`Tokenizer` on transformers' fast tokenizers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise WorkerError(
                Reason.INVALID_RECIPE,
                "The model's tokenizer has no fast version (tokenizer.json), which finding the place to "
                "truncate a document needs. Choose a model that has one.",
            )
        self._tokenizer = tokenizer
        self.frame = _frame(tokenizer)
        self.longest_token = max(len(token) for token in tokenizer.get_vocab())

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise a batch; control tokens in the texts stay plain text."""
        batch = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return [
            Encoding(ids, [start for start, _ in offsets])
            for ids, offsets in zip(batch["input_ids"], batch["offset_mapping"], strict=True)
        ]


def load_tokenizer(model: str, revision: str | None) -> HuggingFaceTokenizer:
    """The tokenizer of a model folder or of a Hub model in the local cache.

    Raises WorkerError(MODEL_NOT_FOUND); retried, because the planner has seen the model and another
    node may still have it.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        raise WorkerError(
            Reason.MODEL_NOT_FOUND,
            f"The tokenizer of {model} can't be loaded on this node: {error}. The model has to lie in the "
            "cache or folder that the planner used, mounted into the workers too.",
            exit_code=ExitCode.INTERNAL,
        ) from error
    return HuggingFaceTokenizer(tokenizer)


def _frame(tokenizer: PreTrainedTokenizerBase) -> ChatFrame:
    """Take the chat template apart around one user message."""
    if not tokenizer.chat_template:
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"{tokenizer.name_or_path} has no chat template. Choose the instruction-tuned variant.",
        )
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": f" {_SENTINEL} "}], tokenize=False, add_generation_prompt=True
    )
    if not isinstance(rendered, str) or rendered.count(_SENTINEL) != 1:
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"The chat template of {tokenizer.name_or_path} does not put the user's message in one place, "
            "so that prompts can't be rendered with it.",
        )
    before, after = rendered.split(_SENTINEL)
    strips = not (before.endswith(" ") and after.startswith(" "))
    if not strips:
        before, after = before[:-1], after[1:]
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in (before, after)]
    return ChatFrame(before=ids[0], after=ids[1], strips=strips)


class WordTokenizer:
    """`Tokenizer` of the simulated engine: a word with the space before it is a token."""

    frame = ChatFrame(before=[1], after=[2], strips=False)
    longest_token = 64

    _WORD = re.compile(r"\s*\S{1,32}|\s+")

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Cut texts into words; a very long one is several tokens."""
        encodings = []
        for text in texts:
            words = list(self._WORD.finditer(text))
            ids = [3 + zlib.crc32(word.group().encode("utf-8", "surrogatepass")) % 50_000 for word in words]
            encodings.append(Encoding(ids, [word.start() for word in words]))
        return encodings
