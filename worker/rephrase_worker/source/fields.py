"""The other columns of a document: as text for placeholders, and as values to carry along.

As text, a value is what an id would be: strings as they are, everything else exactly, nested values as
JSON, and nothing for null. A value to carry is cast to the type that the plan has frozen. One that does not
fit makes the document an error: leaving it out would lose it unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from rephrase_worker.columns import Carried, CarriedColumn, carried_schema
from rephrase_worker.source import ids, lines

MISFIT = "column_type"
"""Code of the error of a document with a value that does not fit its frozen type."""


Others = tuple[dict[str, str] | None, Carried | None, str | None]
"""Of a document: the placeholders' texts, the carried values, and the error if one of these does not fit."""


class Fields:
    """What a job wants of each document besides text and id, taken from batches or JSON objects."""

    def __init__(self, placeholders: Sequence[str] = (), columns: Sequence[CarriedColumn] = ()) -> None:
        self._placeholders = tuple(placeholders)
        self._columns = tuple(columns)
        self._schema = carried_schema(columns)

    @property
    def sources(self) -> list[str]:
        """Names of the source's columns that are needed, each once."""
        return list(dict.fromkeys([*self._placeholders, *(column.source for column in self._columns)]))

    def of_batch(self, batch: pa.RecordBatch) -> Iterator[Others]:
        """The other columns of each row."""
        texts = self._texts(batch)
        carried, misfits = self._carried(batch)
        for row in range(batch.num_rows):
            fields = {name: column[row] or "" for name, column in texts.items()} if texts else None
            yield fields, None if carried is None else Carried(carried, row), misfits.get(row)

    def of_record(self, record: dict[str, Any], line: bytes) -> tuple[dict[str, str] | None, Carried | None]:
        """The same for a JSON object and its line. Raises UnusableDocumentError when a value does not fit."""
        fields = None
        if self._placeholders:
            fields = {name: ids.of_json(record.get(name), line, name) or "" for name in self._placeholders}
        if not self._columns:
            return fields, None
        arrays = [
            pa.array([_json_value(record.get(column.source), line, column, field.type)], type=field.type)
            for column, field in zip(self._columns, self._schema, strict=True)
        ]
        return fields, Carried(pa.RecordBatch.from_arrays(arrays, schema=self._schema), 0)

    def _texts(self, batch: pa.RecordBatch) -> dict[str, list[str | None]]:
        return {name: ids.of_column(batch.column(name)) for name in self._placeholders}

    def _carried(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch | None, dict[int, str]]:
        """The carried columns of the batch, and the errors of values that do not fit, which are null then."""
        if not self._columns:
            return None, {}
        arrays: list[pa.Array] = []
        misfits: dict[int, str] = {}
        for column, field in zip(self._columns, self._schema, strict=True):
            values, wrong = _cast(batch.column(column.source), field.type)
            arrays.append(values)
            misfits |= {row: _misfit(column) for row in wrong}
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema), misfits


def json_type(values: Sequence[Any]) -> pa.DataType:
    """The type for the values that a key has in some JSON objects; null if they say nothing."""
    return json_types([_kind(value) for value in values])


def json_types(types: Iterable[pa.DataType]) -> pa.DataType:
    """The narrowest type for JSON values of these types. A string holds whatever is mixed or nested, as
    JSON.
    """
    kinds = set(types) - {pa.null()}
    if len(kinds) < 2:
        return kinds.pop() if kinds else pa.null()
    return pa.float64() if kinds == {pa.int64(), pa.float64()} else pa.string()


def _kind(value: Any) -> pa.DataType:
    match value:
        case None:
            return pa.null()
        case bool():
            return pa.bool_()
        case int() if -(2**63) <= value < 2**63:
            return pa.int64()
        case float() if abs(value) < 2**63 or not value.is_integer():
            return pa.float64()  # The parser makes floats of integers above 64 bits, and drops their digits.
        case _:
            return pa.string()


def _json_value(value: Any, line: bytes, column: CarriedColumn, type_: pa.DataType) -> Any:
    """A JSON value as the type holds it. Raises UnusableDocumentError when it can't."""
    if value is None:
        return None
    if pt.is_string(type_) or pt.is_large_string(type_):
        return ids.of_json(value, line, column.source)
    if pt.is_floating(type_) and isinstance(value, float):
        return value
    try:
        if not isinstance(value, bool) or pt.is_boolean(type_):
            found = pa.scalar(value, type=type_).as_py()
            if found == value:  # Arrow makes 0 of 0.5, and rounds integers that a float can't hold.
                return found
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    raise lines.UnusableDocumentError(MISFIT, _misfit(column).partition(": ")[2])


def _cast(values: pa.Array, type_: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The values with this type, and the rows whose value can't have it."""
    try:
        found = values if values.type == type_ else values.cast(type_)
        found.validate(full=True)  # Arrow writes strings that are not UTF-8 without looking.
        return found, []
    except pa.ArrowException:
        wrong, pieces = [], []
        for row in range(len(values)):
            piece = values.slice(row, 1)
            try:
                piece = piece if piece.type == type_ else piece.cast(type_)
                piece.validate(full=True)
            except pa.ArrowException:
                piece = pa.nulls(1, type_)
                wrong.append(row)
            pieces.append(piece)
        return pa.concat_arrays(pieces), wrong


def _misfit(column: CarriedColumn) -> str:
    return f"{MISFIT}: the value of {column.source} is no {column.type}, which the plan has frozen"
