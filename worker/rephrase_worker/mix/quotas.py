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
    """How often each row is used, so that the tokens come as near to `wanted` as whole rows allow.

    Every row is used as often as all of them fit. The rest goes to the rows with the lowest keys, which is a
    random sample of them.
    """
    total = int(tokens.sum())
    if not total or wanted <= 0:
        return np.zeros(len(tokens), dtype=np.int64)
    rounds = int(wanted // total)
    rest = wanted - rounds * total
    times = np.full(len(tokens), rounds, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    reached = np.cumsum(tokens[order])
    count = int(np.searchsorted(reached, rest))  # The first `count` rows stay below the rest.
    if count < len(tokens):
        below = int(reached[count - 1]) if count else 0
        count += int(reached[count]) - rest < rest - below
    times[order[:count]] += 1
    return times
