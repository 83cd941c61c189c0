"""A conversation: at least two speakers who take turns, four turns or more.

A turn begins with a name and a colon (`Teacher:`, `**Student:**`, `Анна:`, `老师：`) or, as in French or
Russian print, with a dash. Questions and answers of a FAQ are no speakers. Cut: the last turn is empty or
breaks off.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from rephrase_worker.quality.structure import _labels
from rephrase_worker.quality.structure._lines import is_whole, lines

FEWEST_TURNS = 4
MOST_REPEATS = 0.25
"""Share of turns whose speaker has just spoken."""

_SPEAKER = re.compile(
    r"[*_\[]{0,3}(?P<name>[^\W\d_][\w.'’-]{0,24}(?:[ \t][\w.'’-]{1,24}){0,3})\s{0,2}"
    r"(?:[(（][^()（）]{1,60}[)）])?[*_\]]{0,3}\s?[:：]"
)
_DASH = re.compile(r"[—–]\s?\S")


def holds(text: str) -> bool:
    """Whether the text's turns alternate and make up the most of it."""
    found = lines(text)
    speakers = []
    for line in found:
        turn = _SPEAKER.match(line.body)
        if turn and _labels.labelled(line)[0] is None:
            speakers.append(turn["name"].lower())
    return is_whole(found) and (_take_turns(speakers, len(found)) or _dashes(text, len(found)))


def _take_turns(speakers: list[str], lines_in_all: int) -> bool:
    """Two speakers or more with two turns each, who hardly ever follow themselves."""
    turns = Counter(speakers)
    partners = [name for name, count in turns.items() if count > 1]
    spoken = [name for name in speakers if turns[name] > 1]
    repeats = sum(one == next_ for one, next_ in pairwise(spoken))
    return (
        len(partners) > 1
        and len(spoken) >= FEWEST_TURNS
        and repeats <= MOST_REPEATS * len(spoken)
        and 4 * len(spoken) >= lines_in_all
    )


def _dashes(text: str, lines_in_all: int) -> bool:
    turns = sum(_DASH.match(line.strip()) is not None for line in text.splitlines())
    return turns >= FEWEST_TURNS and 2 * turns >= lines_in_all
