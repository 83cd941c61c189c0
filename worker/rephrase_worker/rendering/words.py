"""The tokenizer of the simulated engine."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from rephrase_worker.rendering.tokenizer import Instruction

_BEGIN, _END, _FIRST_WORD = 1, 2, 3
_WORD = re.compile(r"\s*\S{1,32}|\s+")


class WordTokenizer:
    """`Tokenizer` without a model: a word with the space before it is a token."""

    longest_token = 64
    reasoning = None

    def encode(self, instructions: Sequence[Instruction], document: str) -> list[list[int]]:
        """The prompts between two tokens that stand for a chat template."""
        return [
            [_BEGIN, *_words(f"{instruction.before}{document}{instruction.after}"), _END]
            for instruction in instructions
        ]

    def starts(self, text: str) -> list[int]:
        """Where the words begin; a very long one is several tokens."""
        return [word.start() for word in _WORD.finditer(text)]


def _words(text: str) -> list[int]:
    return [
        _FIRST_WORD + zlib.crc32(word.encode("utf-8", "surrogatepass")) % 50_000
        for word in _WORD.findall(text)
    ]
