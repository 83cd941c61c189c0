"""Cutting a source into shards: a pure function of the listing and the recipe.

All shards are equal when the recipe says how many documents a shard has. Otherwise a shard is about one
GPU-hour, and the last ones taper: a shard takes half of an equal share of what is left, between a tenth
of the target and the target. That is guided self-scheduling (Polychronopoulos and Kuck, IEEE
Transactions on Computers C-36(12), 1987) with bounds: large chunks keep start-up cheap, small ones at
the end let all workers finish at about the same time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rephrase_worker.plan import Range, ShardPlan, SourceListing
from rephrase_worker.planner.throughput import documents_per_gpu_hour
from rephrase_worker.source.cutting import Take, range_of, takes
from rephrase_worker.spec import Recipe

MAX_SHARDS = 100_000
"""Most completions that an Indexed Job can run with any parallelism."""

_TAPER_TO = 10
"""The smallest shard is the target divided by this."""


@dataclass(slots=True)
class _Shard:
    """A shard that is being filled."""

    room: int
    ranges: list[Range] = field(default_factory=list)
    documents: int = 0
    exact: bool = True

    def add(self, range_: Range, documents: int, exact: bool) -> None:
        self.ranges.append(range_)
        self.documents += documents
        self.room -= documents
        self.exact = self.exact and exact


def shard(listing: SourceListing, recipe: Recipe) -> list[ShardPlan]:
    """The shards, in the order of the listing. Every position that the job uses is in exactly one of them."""
    taken = takes(listing, recipe.source.max_documents)
    total = sum(take.documents for take in taken)
    if recipe.sharding.documents_per_shard is not None:
        target, taper = recipe.sharding.documents_per_shard, False
    else:
        target, taper = documents_per_gpu_hour(recipe), True
    target = max(target, math.ceil(total / MAX_SHARDS))
    while True:
        size = _tapered(target, recipe.parallelism) if taper else _equal(target)
        shards = list(_cut(taken, total, size))
        if len(shards) <= MAX_SHARDS:
            break
        target = math.ceil(target * len(shards) / MAX_SHARDS)
    return [
        ShardPlan(
            shard=number,
            root=listing.root,
            ranges=part.ranges,
            documents=part.documents,
            documents_exact=part.exact,
            model_revision=listing.model_revision,
            columns=listing.columns,
        )
        for number, part in enumerate(shards)
    ]


def total_documents(listing: SourceListing, recipe: Recipe, shards: list[ShardPlan]) -> tuple[int, bool]:
    """Documents of the whole job, and whether that is exact.

    It can be exact even if the figures of single shards are not: a JSONL file whose lines were counted is
    still cut by bytes.
    """
    total = sum(part.documents for part in shards)
    if recipe.source.max_documents is None:
        return total, all(file.documents_exact for file in listing.files)
    return total, all(
        range_.file.documents_exact and (range_.max_documents is None or range_.start == 0)
        for part in shards
        for range_ in part.ranges
    )


def _equal(target: int) -> Callable[[int], int]:
    return lambda _: target


def _tapered(target: int, parallelism: int) -> Callable[[int], int]:
    smallest = max(1, target // _TAPER_TO)
    return lambda remaining: min(target, max(smallest, remaining // (2 * parallelism)))


def _cut(takes: list[Take], total: int, size: Callable[[int], int]) -> Iterator[_Shard]:
    """Fills one shard after the other. `size` gives the size of a shard from the documents that remain."""
    remaining = total
    current = _Shard(room=size(remaining))
    for take in takes:
        done = 0
        while done < take.documents:
            splittable = take.file.compression is None
            whole = take.documents - done
            if current.ranges and (current.room <= 0 or (not splittable and whole > 2 * current.room)):
                yield current
                current = _Shard(room=size(remaining))
            documents = min(whole, current.room) if splittable else whole
            range_, exact = range_of(take, done, documents)
            current.add(range_, documents, exact)
            done += documents
            remaining -= documents
    if current.ranges:
        yield current
