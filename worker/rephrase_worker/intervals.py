"""Shard numbers as intervals, in the notation of Kubernetes: `0-41,43`. A list would be much longer."""

from __future__ import annotations

from collections.abc import Iterable


def intervals(numbers: Iterable[int]) -> str:
    """The numbers, in the notation of an Indexed Job's status; empty for none."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parsed(text: str) -> set[int]:
    """The numbers of `intervals`. Raises ValueError for anything else."""
    numbers: set[int] = set()
    for run in text.split(",") if text else ():
        first, _, last = run.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of intervals: whole ones, then `...` where some are left out."""
    if len(text) <= limit:
        return text
    return text[: text.rfind(",", 0, limit - 3) + 1] + "..."
