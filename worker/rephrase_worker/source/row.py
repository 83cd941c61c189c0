"""What a reader makes of one position, before it becomes a document."""

from __future__ import annotations

from typing import NamedTuple

from rephrase_worker.columns import Carried


class Row(NamedTuple):
    """One position of a file. `text` is empty when there is an `error` (`code: sentence`)."""

    position: int
    id: str | None
    text: str
    error: str | None
    fields: dict[str, str] | None = None
    """The texts of the columns that prompts have placeholders for."""
    carried: Carried | None = None
