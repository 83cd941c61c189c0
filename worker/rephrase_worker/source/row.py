"""What a reader makes of one position, before it becomes a document."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One position of a file. `text` is empty when there is an `error` (`code: sentence`)."""

    position: int
    id: str | None
    text: str
    error: str | None
