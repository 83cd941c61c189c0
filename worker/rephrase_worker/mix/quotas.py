"""How often each row of a shard is used: pure functions of counted tokens.

Shares hold before sizes. If a side is too small, its rows are repeated, up to the limit; if that is not
enough, the other side is cut, so that the shard is smaller and its shares are those that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rephrase_worker.mix.keys import Keys
from rephrase_worker.mixes import original_needed

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """How often the outputs are used on average."""

    factor: float
    limited: bool
    """Whether the limit of repetitions keeps it below what the size asks for."""


def scale_of_outputs(
    tokens: Mapping[str, int], shares: Mapping[str, float], size: int | None, max_repetitions: int
) -> Scale:
    """The scale at which both sides come to `size` tokens; without a size every output is used once."""
    whole = sum(tokens.values()) + original_needed(tokens, shares)
    if size is None or not whole:
        return Scale(1.0, limited=False)
    wanted = size / whole
    return Scale(min(wanted, float(max_repetitions)), limited=wanted > max_repetitions)


def scale_for_original(scale: Scale, needed: float, available: int, max_repetitions: int) -> Scale:
    """The scale again, now that the available original tokens are known. `needed` is for a scale of 1."""
    possible = available * max_repetitions / needed if needed else scale.factor
    return Scale(min(scale.factor, possible), limited=possible < scale.factor)


def times_used(keys: Keys, tokens: Counts, wanted: float) -> Counts:
    """How often each row is used, so that the tokens come close to `wanted`.

    Every row is used as often as all of them fit. The rest is filled with a random sample: in the order of
    the keys, what still fits is taken. So the long rows of a source, which can be a thousand times as long as
    the others, don't spoil the share. They are less likely to be taken only when little is left to fill. In
    the end the shortest of the other rows is added if that comes closer.
    """
    total = int(tokens.sum())
    if not total or wanted <= 0:
        return np.zeros(len(tokens), dtype=np.int64)
    rounds = int(wanted // total)
    times = np.full(len(tokens), rounds, dtype=np.int64)
    if (rest := wanted - rounds * total) > 0:
        times[_fill(keys, tokens, rest)] += 1
    return times


def _fill(keys: Keys, tokens: Counts, wanted: float) -> Counts:
    """Places of the rows to take once."""
    order = np.argsort(keys, kind="stable")
    left, taken = wanted, []
    for place, length in zip(order.tolist(), tokens[order].tolist(), strict=True):
        if length <= left:
            taken.append(place)
            left -= length
    others = np.ones(len(tokens), dtype=bool)
    others[taken] = False
    if others.any():
        nearest = int(order[np.argmin(np.where(others[order], tokens[order], np.iinfo(np.int64).max))])
        if tokens[nearest] - left < left:
            taken.append(nearest)
    return np.array(taken, dtype=np.int64)
