"""A Markdown table: header, separator and at least two rows of the same number of cells.

Pipes at the ends of rows are optional, and so is what stands around the table. Cut: a row has another
number of cells than the header, or the text ends in a row that is not closed as the others are.
"""

from __future__ import annotations

from rephrase_worker.quality.structure import _tables


def holds(text: str) -> bool:
    """Whether there is a table, and none of its rows is broken."""
    table = _tables.first(text)
    return table is not None and not (table.open_ended and not table.after)
