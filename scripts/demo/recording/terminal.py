"""A terminal of the kind that the demo needs: it turns what a program writes into a screen."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby

_PART = re.compile(r"\x1b\[(?P<values>[0-9;?]*)(?P<code>[A-Za-z])|(?P<plain>[^\x1b])|\x1b.?", re.DOTALL)
_BASIC = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


@dataclass(frozen=True)
class Style:
    """How a character looks. `color` is a name of _BASIC, `#rrggbb`, or empty for the usual one."""

    color: str = ""
    bold: bool = False
    dim: bool = False
    italic: bool = False


@dataclass(frozen=True)
class Run:
    """Characters of one style that stand beside each other."""

    column: int
    text: str
    style: Style


Row = tuple[Run, ...]
Screen = tuple[Row, ...]
Cell = tuple[str, Style]


class Terminal:
    """A screen that a program writes to. Raises ValueError for a control sequence that it does not know."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._cells: list[list[Cell]] = [[] for _ in range(rows)]
        self._row = self._column = 0
        self._style = Style()
        self.scrolled = 0
        """Lines that have left the screen at the top."""

    def feed(self, text: str) -> None:
        """Take what the program writes."""
        for part in _PART.finditer(text):
            if part["plain"]:
                self._write(part["plain"])
            elif part["code"]:
                self._control(part["code"], part["values"])
            else:
                raise ValueError(f"no meaning is known for {part[0]!r}")

    def screen(self) -> Screen:
        """What stands on the screen now."""
        return tuple(_runs(cells) for cells in self._cells)

    def _write(self, character: str) -> None:
        if character == "\n":
            self._row += 1
            self._column = 0  # a program's newline comes out of a terminal as \r\n
            if self._row == self.rows:
                self._cells = [*self._cells[1:], []]
                self._row -= 1
                self.scrolled += 1
        elif character == "\r":
            self._column = 0
        elif character >= " ":
            if self._column >= self.columns:
                self._write("\n")
            cells = self._cells[self._row]
            cells += [(" ", Style())] * (self._column + 1 - len(cells))
            cells[self._column] = character, self._style
            self._column += 1

    def _control(self, code: str, values: str) -> None:
        numbers = [int(each or 0) for each in values.lstrip("?").split(";")]
        match code:
            case "m":
                self._style = _styled(self._style, numbers)
            case "A":
                self._row = max(0, self._row - max(1, numbers[0]))
            case "K":
                self._cells[self._row] = [] if numbers[0] == 2 else self._cells[self._row][: self._column]
            case "h" | "l" if values.startswith("?"):
                return  # shows or hides the cursor, which is not drawn
            case _:
                raise ValueError(f"no meaning is known for the control sequence ESC[{values}{code}")


def _styled(style: Style, numbers: list[int]) -> Style:
    rest = list(numbers)
    while rest:
        match rest.pop(0):
            case 0:
                style = Style()
            case 1:
                style = replace(style, bold=True)
            case 2:
                style = replace(style, dim=True)
            case 3:
                style = replace(style, italic=True)
            case 22:
                style = replace(style, bold=False, dim=False)
            case 23:
                style = replace(style, italic=False)
            case 39:
                style = replace(style, color="")
            case 38 if rest[:1] == [5]:
                style, rest = replace(style, color=_indexed(rest[1])), rest[2:]
            case 38 if rest[:1] == [2]:
                red, green, blue = rest[1:4]
                style, rest = replace(style, color=f"#{red:02x}{green:02x}{blue:02x}"), rest[4:]
            case number if 30 <= number % 60 < 38:
                style = replace(style, color=_BASIC[number % 60 - 30])
            case number:
                raise ValueError(f"no meaning is known for the style {number}")
    return style


def _indexed(number: int) -> str:
    """The colour of a number in the palette of 256."""
    if number < 16:
        return _BASIC[number % 8]
    if number >= 232:
        return f"#{8 + 10 * (number - 232):02x}" + f"{8 + 10 * (number - 232):02x}" * 2
    steps = (0, 95, 135, 175, 215, 255)
    number -= 16
    return "#" + "".join(f"{steps[number // size % 6]:02x}" for size in (36, 6, 1))


def _runs(cells: list[Cell]) -> Row:
    found, column = [], 0
    for style, group in groupby(cells, key=lambda cell: cell[1]):
        text = "".join(character for character, _ in group)
        if text.strip():
            lead = len(text) - len(text.lstrip())
            found.append(Run(column + lead, text.strip(), style))
        column += len(text)
    return tuple(found)
