"""Whether the rows of one shard are its positions times the rollouts, each once. Pure.

The plan gives every position of a parquet file. Of a text file it gives the bytes between which the lines
begin; how many lines these are is in the manifest, and which, the prompts tell each other: all of them have
the same documents. (`--source` reads the lines themselves.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rephrase_worker.plan import ShardPlan
from rephrase_worker.verify.faults import NAMED

Keys = npt.NDArray[np.int64]
"""A row of a final file each: (number of the source file in the shard, position, rollout)."""

Documents = npt.NDArray[np.int64]
"""(number of the source file in the shard, position), sorted and each once."""


@dataclass(frozen=True)
class Difference:
    """How the keys of a file differ from those it should have."""

    missing: Keys
    repeated: Keys
    foreign: Keys
    ordered: bool

    @property
    def none(self) -> bool:
        """The keys are the expected ones, in their order."""
        return self.ordered and not (len(self.missing) or len(self.repeated) or len(self.foreign))


def file_numbers(shard: ShardPlan) -> dict[str, int]:
    """The source files of a shard in the order of the plan, which is the order of rows."""
    return {path: number for number, path in enumerate(dict.fromkeys(r.file.path for r in shard.ranges))}


def documents(shard: ShardPlan, found: Iterable[Keys]) -> Documents:
    """The shard's documents, as far as plan and rows tell."""
    numbers = file_numbers(shard)
    planned = [
        np.column_stack(
            (
                np.full(range_.end - range_.start, numbers[range_.file.path]),
                np.arange(range_.start, range_.end),
            )
        )
        for range_ in shard.ranges
        if range_.file.format == "parquet" and range_.end is not None
    ]
    read = [keys[within(shard, keys)][:, :2] for keys in found]
    return _distinct(np.concatenate([np.empty((0, 2), dtype=np.int64), *planned, *read]))


def within(shard: ShardPlan, keys: Keys) -> npt.NDArray[np.bool_]:
    """Which rows have a position that the plan gives this shard."""
    numbers = file_numbers(shard)
    inside = np.zeros(len(keys), dtype=bool)
    for range_ in shard.ranges:
        of_file = (keys[:, 0] == numbers[range_.file.path]) & (keys[:, 1] >= range_.start)
        inside |= of_file if range_.end is None else of_file & (keys[:, 1] < range_.end)
    return inside


def from_source(found: Sequence[tuple[str, int]], shard: ShardPlan) -> Documents:
    """The documents that the reader finds in a shard."""
    numbers = file_numbers(shard)
    pairs = [(numbers[path], position) for path, position in found]
    return _distinct(np.array(pairs, dtype=np.int64).reshape(-1, 2))


def compare(keys: Keys, filtered: Keys, documents: Documents, rollouts: int) -> Difference:
    """The keys of a file, and those that it leaves out, against the documents of its shard."""
    expected = np.column_stack(
        (np.repeat(documents, rollouts, axis=0), np.tile(np.arange(rollouts), len(documents)))
    )
    nothing = np.empty((0, 3), dtype=np.int64)
    if not len(filtered) and np.array_equal(keys, expected):
        return Difference(nothing, nothing, nothing, ordered=True)
    ordered = _sorted(np.concatenate((keys, filtered)))
    again = np.zeros(len(ordered), dtype=bool)
    again[1:] = np.all(ordered[1:] == ordered[:-1], axis=1)
    once = ordered[~again]
    return Difference(
        missing=without(expected, once),
        repeated=ordered[again],
        foreign=without(once, expected),
        ordered=bool(np.array_equal(_sorted(keys), keys)),
    )


def _sorted(keys: Keys) -> Keys:
    order: npt.NDArray[np.intp] = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0]))
    return keys[order]


def named(keys: npt.NDArray[np.int64], files: Mapping[str, int]) -> list[str]:
    """The first keys or documents for people: `a.parquet position 7 rollout 0`."""
    names = list(files)
    return [" ".join(_parts(key, names)) for key in keys[:NAMED].tolist()]


def _parts(key: list[int], names: list[str]) -> Iterator[str]:
    file, position, *rollout = key
    yield names[file] if 0 <= file < len(names) else "(a file that the shard does not read)"
    yield f"position {position}"
    for number in rollout:
        yield f"rollout {number}"


def _distinct(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not len(rows):
        return rows.reshape(-1, 2)
    order: npt.NDArray[np.intp] = np.lexsort((rows[:, 1], rows[:, 0]))
    ordered = rows[order]
    first: npt.NDArray[np.bool_] = np.ones(len(ordered), dtype=bool)
    first[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    return ordered[first]


def without(rows: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rows that are not among the others, in their order.

    Only for what differs, because it makes a Python object of each row.
    """
    known = set(map(tuple, others.tolist()))
    keep = [tuple(row) not in known for row in rows.tolist()]
    return rows[np.array(keep, dtype=bool)] if len(rows) else rows
