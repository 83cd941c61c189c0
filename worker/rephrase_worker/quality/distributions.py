"""Sums that describe how a figure is distributed over samples: whole numbers, so that adding is exact."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

BOUNDS = (1, 2, 4, 8, *(round(2 ** (half / 2)) for half in range(8, 41)))
"""Where the bins of a histogram begin: bin 0 holds values below 1, the last one those from 1,048,576 on. Two
bins double the value."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by exact bounds, for lengths in tokens."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: int = 0
    largest: int = 0

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(
            counts=tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)),
            total=self.total + other.total,
            largest=max(self.largest, other.largest),
        )

    @property
    def samples(self) -> int:
        """Number of values."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Mean of the values; 0 without any."""
        return self.total / self.samples if self.samples else 0.0

    def quantile(self, share: float) -> int:
        """The bound below which at least this share of the values lies; at most the largest value."""
        wanted, below = share * self.samples, 0
        for bound, number in zip(BOUNDS, self.counts, strict=False):
            below += number
            if below >= wanted:
                return min(bound, self.largest)
        return self.largest


def histogram(values: npt.NDArray[np.int64]) -> Histogram:
    """The histogram of values that are not negative."""
    if not len(values):
        return Histogram()
    bins = np.searchsorted(np.array(BOUNDS), values, side="right")
    counts = np.bincount(bins, minlength=len(BOUNDS) + 1)
    return Histogram(tuple(counts.tolist()), int(values.sum()), int(values.max()))


def bin_of(value: int) -> int:
    """The bin that a value falls into."""
    return bisect_right(BOUNDS, value)


UNIT = 1000
"""`Moments` hold thousandths, rounded."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Number, sum and sum of squares of a figure, in thousandths of it."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """Mean of the figure; 0 without any."""
        return self.total / self.count / UNIT if self.count else 0.0

    @property
    def spread(self) -> float:
        """Standard deviation of the figure."""
        if not self.count:
            return 0.0
        return sqrt(max(0, self.squares * self.count - self.total**2)) / self.count / UNIT


def moments(values: npt.NDArray[np.float64]) -> Moments:
    """The moments of some values."""
    thousandths = np.rint(values * UNIT).astype(np.int64).tolist()
    return Moments(len(thousandths), sum(thousandths), sum(value * value for value in thousandths))
