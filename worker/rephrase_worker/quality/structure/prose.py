"""Paragraphs of whole sentences, without lists, tables, questions with answers, or sections.

One title at the top is allowed, and so are a few short lines within the text (a quotation, a date). Cut:
the last paragraph does not end as a sentence.
"""

from __future__ import annotations

from rephrase_worker.quality.structure import _labels
from rephrase_worker.quality.structure._lines import Line, ends_sentence, lines

LARGEST_SHARE_OF_OTHERS = 0.1
"""Share of the characters that may stand in lines that are no sentences."""


def holds(text: str) -> bool:
    """Whether nearly all of the text is prose, to its end."""
    found = lines(text)
    if found and _is_title(found[0]):
        found = found[1:]
    if not found or found[-1].kind != "prose" or not ends_sentence(found[-1].body):
        return False
    if any(line.kind in ("row", "heading") for line in found):
        return False
    others = sum(len(line.body) for line in found if line.kind == "item" or not ends_sentence(line.body))
    labelled = any(_labels.labelled(line)[0] for line in found)
    return not labelled and others <= LARGEST_SHARE_OF_OTHERS * sum(len(line.body) for line in found)


def _is_title(line: Line) -> bool:
    return line.kind == "heading" or (len(line.body) < 100 and not ends_sentence(line.body))
