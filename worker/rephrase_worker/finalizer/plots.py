"""Plots as plain data: shapes in a square of 1000 by 1000, and ticks in percent of it. Pure.

The page stretches the square to the room there is and writes the labels itself, as text beside it. So a plot
fits a phone as well as a wide screen, its letters keep their size, and it can be read without seeing it. A
plotting library would draw the letters into the picture, and weighs more than the whole report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SIDE = 1000
"""Units of the square in both directions; y grows downwards, as in SVG."""

_NOTHING = 1e-9
"""A largest value below this is drawn as none."""

_ROUNDING = 0.02
"""Of a step between two ticks."""

_GAP = 0.12
"""Of a column's width, free between two columns."""

_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_DAYS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True)
class Tick:
    """A label on an axis."""

    place: str
    """Percent of the axis from its start."""
    label: str
    unit: str
    """The same place in units of the square, as SVG counts them on the y axis."""


@dataclass(frozen=True)
class Plot:
    """A plot without its words."""

    shape: str
    """Path data: areas to be filled."""
    edge: str
    """Path data: the line on top of them; empty for columns."""
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def steps(values: Sequence[tuple[float, float, float]], *, end: float, label: Callable[[float], str]) -> Plot:
    """A quantity over seconds: (begin, end, value), ascending, in an axis from 0 to `end`. Gaps are 0."""
    top, y_ticks = _y_axis(max((value for *_, value in values), default=0.0), label)
    corners: list[tuple[float, float]] = []
    reached = 0.0
    for begin, upto, value in values:
        if begin > reached:
            corners += [(reached, 0.0), (begin, 0.0)]
        corners += [(begin, value), (upto, value)]
        reached = upto
    if reached < end:
        corners += [(reached, 0.0), (end, 0.0)]
    line = (
        _line([(x / end * SIDE, SIDE - min(1.0, y / top) * SIDE) for x, y in corners])
        if end and corners
        else ""
    )
    return Plot(
        shape=f"M0 {SIDE}L{line[1:]}L{SIDE} {SIDE}Z" if line else "",
        edge=line,
        x_ticks=_time_ticks(end),
        y_ticks=y_ticks,
    )


def columns(
    values: Sequence[float], labels: Sequence[tuple[float, str]], *, label: Callable[[float], str]
) -> Plot:
    """A column a value, side by side. `labels`: (place, counted in columns from the left edge, and text)."""
    top, y_ticks = _y_axis(max(values, default=0.0), label)
    width = SIDE / max(1, len(values))
    shape = "".join(
        f"M{_at((number + _GAP / 2) * width)} {SIDE}V{_at(SIDE - min(1.0, value / top) * SIDE)}"
        f"H{_at((number + 1 - _GAP / 2) * width)}V{SIDE}Z"
        for number, value in enumerate(values)
        if value
    )
    ticks = [_tick(place / max(1, len(values)), text) for place, text in labels]
    return Plot(shape=shape, edge="", x_ticks=ticks, y_ticks=y_ticks)


def nice(value: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below a value above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def duration(seconds: float) -> str:
    """A length of time for people: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    for unit, name, smaller, small_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit:,} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def _y_axis(largest: float, label: Callable[[float], str]) -> tuple[float, list[Tick]]:
    """The top of the axis, and its ticks. An axis without values goes to 1."""
    if largest < _NOTHING:
        return 1.0, [_tick(0, label(0))]
    step = nice(largest / 4)
    # What is above the last tick by no more than rounding is drawn at its height.
    count = max(1, math.ceil(largest / step - _ROUNDING))
    return step * count, [_tick(number / count, label(step * number)) for number in range(count + 1)]


def _time_ticks(end: float) -> list[Tick]:
    if end <= 0:
        return [_tick(0, "0")]
    candidates = (*_SECONDS, *(days * 86_400 for days in _DAYS))
    step = next((each for each in candidates if end / each <= 6), candidates[-1])
    return [
        _tick(number * step / end, duration(number * step) if number else "0")
        for number in range(int(end // step) + 1)
    ]


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_at(x)} {_at(y)}" for x, y in points)


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _tick(share: float, label: str) -> Tick:
    return Tick(f"{share:.2%}", label, _at(SIDE * (1 - share)))
