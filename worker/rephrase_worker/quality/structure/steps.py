"""Numbered steps that count up from 1, at least two of them.

`1.`, `2)`, `(3)`, `Step 4:`, `### Étape 5`, `第六步` and the like count. Numbers that start again at 1 belong
to another list of steps, as the steps of each section of a tutorial do; one that skips a number does not
hold. Cut: the last step is empty, or the last line breaks off.
"""

from __future__ import annotations

from collections import defaultdict

from rephrase_worker.quality.structure._lines import Line, is_whole, lines

FEWEST = 2


def holds(text: str) -> bool:
    """Whether one kind of numbers (by label and indentation) counts up throughout the text."""
    found = lines(text)
    numbers: dict[tuple[str, int], list[int]] = defaultdict(list)
    for line in found:
        if line.number is not None:
            numbers[_family(line)].append(line.number)
    return any(map(_counts_up, numbers.values())) and is_whole(found)


def _family(line: Line) -> tuple[str, int]:
    """Lines that are numbered together."""
    return f"{line.kind} {line.label}", line.indent


def _counts_up(numbers: list[int]) -> bool:
    expected, longest = 1, 0
    for number in numbers:
        if number == 1:
            expected = 1
        elif number != expected:
            return False
        expected += 1
        longest = max(longest, number)
    return longest >= FEWEST
