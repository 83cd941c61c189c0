"""A list of at least two items that makes up the text, but for a title and a sentence or two around it.

Bullets, numbers and `Fact 1:` count as items, indented lines as parts of their item. Cut: the last item is
empty or breaks off where the others end as sentences.
"""

from __future__ import annotations

from rephrase_worker.quality.structure._lines import is_whole, lines

FEWEST = 2
MOST_OTHER_LINES = 3


def holds(text: str) -> bool:
    """Whether nearly all lines are items."""
    found = lines(text)
    items = [line for line in found if line.kind == "item" and line.body]
    other = [line for line in found if line.kind in ("prose", "row") and not line.indent]
    return len(items) >= FEWEST and len(other) <= min(MOST_OTHER_LINES, len(items)) and is_whole(found)
