"""A Markdown table, and below it a question with its answer.

The table is that of `table`. The question is a sentence with a question mark, or a line that is labelled as
one; what follows it is the answer. Cut: there is no answer, or it breaks off.
"""

from __future__ import annotations

from rephrase_worker.quality.structure import _labels, _tables
from rephrase_worker.quality.structure._lines import is_whole, lines


def holds(text: str) -> bool:
    """Whether the text has a table, then a question, then more."""
    table = _tables.first(text)
    if table is None:
        return False
    below = lines(table.after)
    return _labels.has_question_with_answer(below) and is_whole(below)
