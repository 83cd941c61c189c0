"""Turns of a conversation: lines that begin with a speaker's name, or with the dash that stands for one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from rephrase_worker.quality.structure import _labels
from rephrase_worker.quality.structure._lines import Line

FEWEST = 4
MOST_REPEATS = 0.25
"""Share of turns whose speaker has just spoken."""
SMALLEST_SHARE = 0.25
"""Share of the lines that have to be turns: a turn may go on over several lines."""

_SPEAKER = re.compile(
    r"[*_\[]{0,3}(?P<name>[^\W\d_][\w.'’-]{0,24}(?:[ \t][\w.'’-]{1,24}){0,3})\s{0,2}"
    r"(?:[(（][^()（）]{1,60}[)）])?[*_\]]{0,3}\s?[:：]"
)


def taken(found: Sequence[Line]) -> bool:
    """Whether at least two speakers with two turns each take turns, and hardly ever follow themselves."""
    speakers = [name for line in found if (name := _speaker(line))]
    turns = Counter(speakers)
    spoken = [name for name in speakers if turns[name] > 1]
    repeats = sum(one == following for one, following in pairwise(spoken))
    return (
        len(set(spoken)) > 1
        and len(spoken) >= FEWEST
        and repeats <= MOST_REPEATS * len(spoken)
        and len(spoken) >= SMALLEST_SHARE * len(found)
    ) or _dashes(found)


def _speaker(line: Line) -> str | None:
    """Who begins to speak on this line. Questions and answers of a FAQ are no speakers."""
    if _labels.labelled(line)[0] is not None:
        return None
    if line.label:  # `Student 2:`
        return f"{line.label} {line.number}"
    turn = _SPEAKER.match(line.body)
    return turn["name"].lower() if turn else None


def _dashes(found: Sequence[Line]) -> bool:
    turns = sum(line.body.startswith("—") for line in found)
    return turns >= FEWEST and 2 * turns >= len(found)
