"""The source's own columns that a job uses: as placeholders in prompts, and carried along into the output.

The types of carried columns are frozen in the plan, as Arrow's own types. So all shards write the same
schema, whatever their files hold.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from rephrase_worker.spec import Contract


class CarriedColumn(Contract):
    """A column of the source that samples have too."""

    name: str
    """In the samples."""
    source: str
    """In the source."""
    type: str
    """Arrow's type, for people."""
    arrow: str
    """The same as Arrow writes it: the base64 of an IPC schema with this one field."""


class Carried(NamedTuple):
    """The carried values of one document: a row of a batch in the plan's schema."""

    batch: pa.RecordBatch
    row: int

    @property
    def size(self) -> int:
        """About the bytes of the values. A dictionary does not count: all rows share it."""
        columns = (column for column in self.batch.columns if not pa.types.is_dictionary(column.type))
        return sum(column.slice(self.row, 1).nbytes for column in columns)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job wants of a source besides text and id."""

    placeholders: tuple[str, ...] = ()
    """Columns that prompts have placeholders for."""
    carried: tuple[str, ...] = ()
    """Columns that go into the output."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*self.placeholders, *self.carried)))

    def asks_for(self, name: str) -> str:
        """What wants the column, for a message."""
        if name in self.placeholders:
            return f"a prompt has the placeholder {{{{{name}}}}} for"
        return "output.columns names"


NOTHING = Wanted()


def freeze(source: pa.Schema, names: Sequence[str], taken: Iterable[str]) -> list[CarriedColumn]:
    """The columns of these names as the plan records them.

    A name that samples have for something else is `taken`, and gets the prefix `source_`.
    """
    found = []
    for name in names:
        field = pa.field(f"source_{name}" if name in taken else name, source.field(name).type)
        written = base64.b64encode(pa.schema([field]).serialize().to_pybytes()).decode()
        found.append(CarriedColumn(name=field.name, source=name, type=str(field.type), arrow=written))
    return found


def carried_schema(columns: Iterable[CarriedColumn]) -> pa.Schema:
    """The schema of carried columns. Every value may be null: rows of unreadable documents have none."""
    return pa.schema(
        [pa.ipc.read_schema(pa.py_buffer(base64.b64decode(column.arrow))).field(0) for column in columns]
    )
