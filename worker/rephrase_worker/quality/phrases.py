"""Outputs that are no rephrasing: refusals, and answers that repeat the instruction."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from rephrase_worker.spec import PLACEHOLDER

_START_CHARACTERS = 200
"""A refusal is looked for at the start only: further on, a text may well speak of one."""

_CANT = (
    r"(?:can(?:no|['’])?t|can not|am (?:not able|unable) to|won['’]t|will not|['’]m (?:not able|unable) to)"
)
_DO = r"(?:assist|help|comply|fulfill?|provide|create|generate|write|rewrite|answer|do that|continue)"
REFUSAL = (
    r"(?:^|[.!] )as an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant)?(?:,| i\b)"
    r"|\bi['’]?m (?:just )?an? (?:ai(?: language)?(?: model| assistant)|language model)\b"
    r"|\b(?:i['’]?m|i am) (?:very |really |so )?sorry,? (?:but )?(?:as|i)\b"
    r"|\b(?:i apologi[sz]e|my apologies|sorry),? (?:but )?(?:i )?" + _CANT + r"\b"
    r"|\bi ?" + _CANT + r" " + _DO + r"\b"
)
"""English refusals, as RE2 reads it. Refusals in other languages are not found."""

ECHOED_WORDS = 8
"""An echo repeats one of the instruction's runs of so many words, or all of an instruction with fewer.
Runs don't overlap, so only an echo of twice as many words is found for certain."""

_LEAST_WORDS = 4
"""Of an instruction with fewer words no echo can be told."""


def refusals(texts: Sequence[str]) -> int:
    """How many of the texts begin with a refusal."""
    starts = pa.array([text.lstrip()[:_START_CHARACTERS] for text in texts], type=pa.string())
    found = pc.match_substring_regex(starts, REFUSAL, ignore_case=True)
    return int(pc.sum(found).as_py() or 0)


class Instruction:
    """A prompt's instruction, to find its words in outputs."""

    def __init__(self, template: str) -> None:
        """`template` is the prompt's; the document's place is no part of the instruction."""
        runs = [run for piece in template.split(PLACEHOLDER) for run in _runs(piece.split())]
        self._pattern = "|".join(r"\s+".join(map(re.escape, run)) for run in runs)

    def echoes(self, texts: Sequence[str]) -> int:
        """How many of the texts echo the instruction."""
        if not self._pattern:
            return 0
        found = pc.match_substring_regex(pa.array(texts), self._pattern, ignore_case=True)
        return int(pc.sum(found).as_py() or 0)


def _runs(words: Sequence[str]) -> list[Sequence[str]]:
    """The words in runs of `ECHOED_WORDS`; what is left over at the end is no run of its own."""
    if len(words) < ECHOED_WORDS:
        return [words] if len(words) >= _LEAST_WORDS else []
    return [
        words[start : start + ECHOED_WORDS] for start in range(0, len(words) - ECHOED_WORDS + 1, ECHOED_WORDS)
    ]
