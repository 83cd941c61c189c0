"""How texts begin, and how many of them begin alike: the measure of template collapse.

A text's opening is its first sentence, its first 10 or its first 30 characters. Counting every opening of a
job would take as much memory as there are texts. So a shard keeps only its frequent ones and remembers the
largest count that it left out. Sums over shards therefore come with bounds: `count` is never too high, and
the true count is never above `at_most`. This is the error bound of Misra-Gries summaries ("Mergeable
Summaries", Agarwal et al., PODS 2012), but adding two of ours drops nothing: the sum does not depend on the
order of the shards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

SENTENCE_CHARACTERS = 120
"""A first sentence is cut to this length: longer ones that agree so far count as one."""

_SHORTEST_SENTENCE = 12
"""A sentence does not end before this character: `1.`, `Dr.` and `Sure!` are no sentences."""

_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s|$)|[。！？]")


@dataclass(frozen=True, slots=True)
class Opening:
    """An opening, and how many texts have it."""

    text: str
    count: int
    """At least so many."""
    at_most: int


@dataclass(frozen=True, slots=True)
class Openings:
    """Counts of openings. `+` is associative and commutative, and `Openings()` is its identity."""

    counts: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    """An opening that is not in `counts` has at most so many texts."""
    covered: Mapping[str, int] = field(default_factory=dict)
    """By opening: how much of `left_out` can't be its own, because its count is known where something was
    left out. Absent means 0."""

    def __add__(self, other: Openings) -> Openings:
        return Openings(
            counts=_sum(self.counts, other.counts),
            left_out=self.left_out + other.left_out,
            covered=_sum(self.covered, other.covered),
        )

    def at_most(self, text: str) -> int:
        """The most texts that can have this opening."""
        return self.counts.get(text, 0) + self.left_out - self.covered.get(text, 0)

    def trimmed(self, *, most: int, least: int = 1) -> Openings:
        """Only the `most` frequent openings that have `least` texts. The bounds stay right."""
        if len(self.counts) <= most and least <= 1:
            return self
        kept = dict(item for item in _most_frequent(self.counts, most) if item[1] >= least)
        if len(kept) == len(self.counts):
            return self
        dropped = max(self.at_most(text) for text in self.counts if text not in kept)
        left_out = max(self.left_out, dropped)
        # What was not known of a kept opening before is all that is not known of it now.
        covered = {
            text: known for text in kept if (known := left_out - self.left_out + self.covered.get(text, 0))
        }
        return Openings(counts=kept, left_out=left_out, covered=covered)

    def top(self, number: int) -> list[Opening]:
        """The most frequent openings; of equal ones the first by text."""
        return [
            Opening(text=text, count=count, at_most=self.at_most(text))
            for text, count in _most_frequent(self.counts, number)
        ]


def count(openings: Iterable[str]) -> Openings:
    """Count openings exactly."""
    counts: dict[str, int] = {}
    for text in openings:
        counts[text] = counts.get(text, 0) + 1
    return Openings(counts=counts)


def first_sentence(text: str) -> str:
    """The first sentence of a text that is not blank, or its first line if that ends earlier."""
    start = text.lstrip()[: 4 * SENTENCE_CHARACTERS]
    line = start.splitlines()[0][:SENTENCE_CHARACTERS].rstrip()
    end = _END.search(line, _SHORTEST_SENTENCE)
    return line[: end.end()] if end else line


def first_characters(text: str, number: int) -> str:
    """The first characters of a text, white space at its start left out."""
    return text.lstrip()[:number]


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    if not one or not other:
        return one or other
    large, small = (one, other) if len(one) >= len(other) else (other, one)
    total = dict(large)
    for text, number in small.items():
        total[text] = total.get(text, 0) + number
    return total


def _most_frequent(counts: Mapping[str, int], number: int) -> list[tuple[str, int]]:
    return nsmallest(number, counts.items(), key=lambda item: (-item[1], item[0]))
