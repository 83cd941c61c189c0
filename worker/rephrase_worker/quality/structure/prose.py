"""Paragraphs of whole sentences, without lists, tables, conversations, questions with answers, or sections.

One title or opening line at the top is allowed, and so are a few short lines within the text (a quotation, a
date). Questions alone are no prose. Cut: the last paragraph does not end as a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rephrase_worker.quality.structure import _labels, _turns
from rephrase_worker.quality.structure._lines import Line, ends_sentence, lines

LARGEST_SHARE_OF_OTHERS = 0.1
"""Share of the characters that may stand in lines that are no sentences."""
LONGEST_TITLE = 100
_STATEMENTS = ".!。！…।۔"


def holds(text: str) -> bool:
    """Whether nearly all of the text is prose, to its end."""
    whole = lines(text)
    found = whole[1:] if whole and _is_title(whole[0]) else whole
    return (
        bool(found)
        and found[-1].kind == "prose"
        and ends_sentence(found[-1].body)
        and not any(line.kind in ("row", "heading") or _labels.labelled(line)[0] for line in found)
        and _others(found) <= LARGEST_SHARE_OF_OTHERS * sum(len(line.body) for line in found)
        and not all(map(_only_asks, found))
        and not _turns.taken(whole)
    )


def _is_title(line: Line) -> bool:
    return line.kind == "heading" or (len(line.body) < LONGEST_TITLE and not ends_sentence(line.body))


def _others(found: Sequence[Line]) -> int:
    """Characters in items, and in lines that neither end as sentences nor go on in the next line."""
    return sum(
        len(line.body)
        for line, below in zip_longest(found, found[1:])
        if line.kind == "item"
        or not (ends_sentence(line.body) or (below is not None and below.body[:1].islower()))
    )


def _only_asks(line: Line) -> bool:
    return _labels.is_question(line.body) and not any(mark in line.body for mark in _STATEMENTS)
