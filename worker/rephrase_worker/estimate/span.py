"""A figure with the range that it is likely in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A figure, and the range that it is likely in: about 19 times in 20."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> Span:
        """The figure in another unit."""
        return Span(self.low * factor, self.expected * factor, self.high * factor)
