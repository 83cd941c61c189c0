"""Sets of shard numbers in the notation of an Indexed Job's status: `0-41,43`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter


class Intervals:
    """An immutable set of numbers, stored as runs: 100,000 shards are usually only a few runs."""

    __slots__ = ("_runs",)

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._runs = _merge((number, number) for number in numbers)

    @classmethod
    def parse(cls, text: str) -> Intervals:
        """Parse the notation. Raises ValueError for anything else."""
        found = cls()
        pieces = (piece.partition("-") for piece in text.split(",") if piece)
        found._runs = _merge((int(first), int(last) if dash else int(first)) for first, dash, last in pieces)
        return found

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._runs, number, key=itemgetter(0)) - 1
        return place >= 0 and number <= self._runs[place][1]

    def __iter__(self) -> Iterator[int]:
        for first, last in self._runs:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._runs)

    def __or__(self, other: Intervals) -> Intervals:
        joined = Intervals()
        joined._runs = _merge([*self._runs, *other._runs])
        return joined

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self._runs == other._runs

    def __hash__(self) -> int:
        return hash(self._runs)

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self._runs)

    def __repr__(self) -> str:
        return f"Intervals.parse({str(self)!r})"


def _merge(runs: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
