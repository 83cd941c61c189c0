"""How long workers take for the shards of a job, which start in order as workers become free."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from rephrase_worker.spec import SHARD_GROUPS, ShardGroup

_Run = tuple[int, float]
"""A number of shards, and the mean of their sizes."""


def grouped(sizes: Iterable[int]) -> list[ShardGroup]:
    """The sizes of shards, in order, as a few groups. Sizes in a group differ as little as can be."""
    runs: list[_Run] = []
    for size in sizes:
        if runs and runs[-1][1] == size:
            runs[-1] = (runs[-1][0] + 1, float(size))
        else:
            runs.append((1, float(size)))
    while len(runs) > 8 * SHARD_GROUPS:
        # Thousands of different sizes: pairs are joined first, which is quick.
        runs = [_joined(runs[at : at + 2]) for at in range(0, len(runs), 2)]
    while len(runs) > SHARD_GROUPS:
        costs = [_cost(one, other) for one, other in pairwise(runs)]
        at = costs.index(min(costs))
        runs[at : at + 2] = [_joined(runs[at : at + 2])]
    return [ShardGroup(shards=count, documents=round(size, 1)) for count, size in runs]


def makespan(groups: Iterable[ShardGroup], workers: int, seconds: Callable[[float], float]) -> float:
    """Seconds until the last shard is done. `seconds` is the time of a shard with this many documents.

    A worker that is free takes the next shard (Graham's list scheduling), as an Indexed Job does.
    """
    free_at = [0.0] * workers
    for group in groups:
        each = seconds(group.documents)
        for _ in range(group.shards):
            heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def _cost(one: _Run, other: _Run) -> float:
    """What joining two runs adds to the squared deviations."""
    return one[0] * other[0] / (one[0] + other[0]) * (one[1] - other[1]) ** 2


def _joined(runs: Sequence[_Run]) -> _Run:
    count = sum(shards for shards, _ in runs)
    return count, sum(shards * size for shards, size in runs) / count
