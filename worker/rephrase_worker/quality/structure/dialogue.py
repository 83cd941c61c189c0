"""A conversation: at least two speakers who take turns, four turns or more.

A turn begins with a name and a colon (`Teacher:`, `**Student:**`, `Анна:`, `老师：`) or, as in French or
Russian print, with a long dash. Questions and answers of a FAQ are no speakers. Cut: the last turn is empty
or breaks off.
"""

from __future__ import annotations

from rephrase_worker.quality.structure import _turns
from rephrase_worker.quality.structure._lines import is_whole, lines


def holds(text: str) -> bool:
    """Whether turns are taken and the last one is whole."""
    found = lines(text)
    return _turns.taken(found) and is_whole(found)
