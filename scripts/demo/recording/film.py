"""Which screens the recording shows, and for how long: a run of minutes in half a minute.

Nothing that the demo writes is left out or changed, but times are: waits are shortened, and text that comes
all at once moves up line by line, so that it can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scripts.demo.recording.terminal import Screen, Terminal

COLUMNS, ROWS = 100, 30
WAITS_SECONDS = 15.0
"""Time of all waits together; they keep their proportions, but long ones are cut first."""

LONGEST_WAIT = 4.0
LINE_SECONDS = 0.06
"""Time of each line of a long text."""

READING_SECONDS = 1.6
"""Pause below a table or a sample, before the text moves on."""

END_SECONDS = 5.0
BOTTOMS = ("╰", "tokens: ", "frequent opening: ")


@dataclass(frozen=True)
class Written:
    """What the demo has written."""

    seconds: float
    """Since its start."""
    text: str


@dataclass(frozen=True)
class Shot:
    """A screen, and how long it stays."""

    screen: Screen
    seconds: float


def shots(run: Sequence[Written], title: str) -> list[Shot]:
    """The film of a run; `title` is the command that the user has typed."""
    terminal = Terminal(COLUMNS, ROWS)
    terminal.feed(f"\x1b[32m$\x1b[0m \x1b[1m{title}\x1b[0m\n")
    found = [Shot(terminal.screen(), 0.8)]
    times = [0.0, *(written.seconds for written in run)]
    waits = [min(LONGEST_WAIT, after - before) for before, after in pairwise(times)]
    faster = min(1.0, WAITS_SECONDS / (sum(waits) or 1.0))
    for written, wait in zip(run, waits, strict=True):
        found[-1] = Shot(found[-1].screen, found[-1].seconds + wait * faster)
        for text, seconds in _pieces(written.text):
            scrolled = terminal.scrolled
            terminal.feed(text)
            # A text that still fits on the screen appears at once.
            found.append(Shot(terminal.screen(), seconds if terminal.scrolled > scrolled else 0.0))
    found.append(Shot(found[-1].screen, END_SECONDS))
    return list(_merged(found))


def _pieces(text: str) -> Iterator[tuple[str, float]]:
    """A text line by line, each with the time that it is shown before the next one."""
    if "\x1b[1A" in text:  # it replaces what stands there, as a live display does
        yield text, 0.0
        return
    for line in text.splitlines(keepends=True):
        yield line, READING_SECONDS if line.lstrip().startswith(BOTTOMS) else LINE_SECONDS


def _merged(found: Iterable[Shot]) -> Iterator[Shot]:
    """Screens that are the same, or that would not be seen, become one."""
    held: Shot | None = None
    for shot in found:
        if held is not None and held.screen != shot.screen and held.seconds > 0.03:
            yield held
            held = None
        held = Shot(shot.screen, shot.seconds + (held.seconds if held else 0.0))
    if held is not None:
        yield held


def still(film: list[Shot], text: str) -> int:
    """Number of the fullest screen that shows a text, for viewers that play nothing."""
    fitting = [
        (sum(map(bool, shot.screen)), number)
        for number, shot in enumerate(film)
        if any(text in run.text for row in shot.screen for run in row)
    ]
    return max(fitting)[1] if fitting else len(film) - 1
