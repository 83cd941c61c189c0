"""HyperLogLog: how many different things there are, in 2 KiB, with a standard error of 2.3%.

Adding two sketches takes the larger of each pair of registers, so it is exact, in any order, and counting a
thing twice changes nothing. The estimate is Ertl's ("New cardinality estimation algorithms for HyperLogLog
sketches", 2017, section 4): it needs no tables and has no bias where the classic one has.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np
import numpy.typing as npt
from pydantic import Base64Bytes

Hashes = npt.NDArray[np.uint64]

_PRECISION = 11
_REGISTERS = 1 << _PRECISION
_HASHED_BITS = 52
"""Bits of a hash that the rank is taken from: a double holds them exactly."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A set of hashes that can be counted."""

    registers: Base64Bytes = bytes(_REGISTERS)

    def __add__(self, other: Sketch) -> Sketch:
        return Sketch(np.maximum(_array(self), _array(other)).tobytes())

    @property
    def estimate(self) -> int:
        """About how many different hashes were added."""
        limit = 64 - _PRECISION
        ranks = np.bincount(_array(self), minlength=limit + 2).tolist()
        value = _REGISTERS * _tau(1 - ranks[limit + 1] / _REGISTERS)
        for rank in range(limit, 0, -1):
            value = 0.5 * (value + ranks[rank])
        value += _REGISTERS * _sigma(ranks[0] / _REGISTERS)
        return 0 if value == inf else round(_REGISTERS**2 / (2 * log(2) * value))


def sketch(hashes: Hashes) -> Sketch:
    """The sketch of some hashes, which have to be well mixed in all their bits."""
    registers = np.zeros(_REGISTERS, dtype=np.uint8)
    places = (hashes >> np.uint64(64 - _PRECISION)).astype(np.int64)
    rest = (hashes << np.uint64(_PRECISION)) >> np.uint64(64 - _HASHED_BITS)
    _, lengths = np.frexp(rest.astype(np.float64))
    np.maximum.at(registers, places, (_HASHED_BITS + 1 - lengths).astype(np.uint8))
    return Sketch(registers.tobytes())


def _array(given: Sketch) -> npt.NDArray[np.uint8]:
    return np.frombuffer(given.registers, dtype=np.uint8)


def _sigma(share: float) -> float:
    if share == 1:
        return inf
    weight, total = 1.0, share
    while True:
        share *= share
        before = total
        total += share * weight
        weight += weight
        if total == before:
            return total


def _tau(share: float) -> float:
    if share in (0, 1):
        return 0.0
    weight, total = 1.0, 1 - share
    while True:
        share = sqrt(share)
        before = total
        weight *= 0.5
        total -= (1 - share) ** 2 * weight
        if total == before:
            return total / 3
