"""Markdown tables in an output."""

from __future__ import annotations

import re
from typing import NamedTuple

FEWEST_ROWS = 2
_SEPARATOR_CELL = re.compile(r"\s*:?-+:?\s*")
_LONGEST_SEPARATOR = 4000


class Table(NamedTuple):
    """A table whose rows all have as many cells as its header."""

    rows: int
    open_ended: bool
    """Its last row lacks the pipe at the end that the header has."""
    after: str
    """The text below it."""


def first(text: str) -> Table | None:
    """The text's first table; None when it has none, too few rows, or rows of another width."""
    lines = [line.strip() for line in text.splitlines()]
    for at in range(1, len(lines)):
        width = _separates(lines[at])
        if width and "|" in lines[at - 1] and _width(lines[at - 1]) == width:
            return _table(lines, at, width)
    return None


def _table(lines: list[str], separator: int, width: int) -> Table | None:
    end = separator + 1
    while end < len(lines) and "|" in lines[end]:
        if _width(lines[end]) != width:
            return None
        end += 1
    rows = end - separator - 1
    if rows < FEWEST_ROWS:
        return None
    closed = lines[separator - 1].endswith("|")
    return Table(rows, closed and not lines[end - 1].endswith("|"), "\n".join(lines[end:]))


def _separates(line: str) -> int:
    """How many cells a separator such as `|---|:--:|` has; 0 for another line."""
    if line[:1] not in "|:-" or "-" not in line or "|" not in line or len(line) > _LONGEST_SEPARATOR:
        return 0
    cells = _cells(line)
    return len(cells) if all(map(_SEPARATOR_CELL.fullmatch, cells)) else 0


def _width(row: str) -> int:
    return len(_cells(row))


def _cells(row: str) -> list[str]:
    """The cells between the pipes. A pipe behind a backslash belongs to its cell."""
    return row.replace("\\|", "").removeprefix("|").removesuffix("|").split("|")
