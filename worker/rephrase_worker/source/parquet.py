"""Documents of a range of rows of a parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker.plan import Range
from rephrase_worker.source import lines
from rephrase_worker.source.row import Row
from rephrase_worker.spec import Source

_BATCH_ROWS = 64
_BUFFER_BYTES = 4 << 20


def rows(file: IO[bytes], range_: Range, source: Source) -> Iterator[Row]:
    """The range's rows; only their row groups and the columns of text and id are read. Position: the row."""
    # Without pre-buffering and with a buffer size, a column chunk is streamed instead of loaded whole.
    parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    columns = [source.text_field] + ([source.id_field] if source.id_field is not None else [])
    first = 0
    for group in range(parquet.num_row_groups):
        count = parquet.metadata.row_group(group).num_rows
        last = first + count
        if last > range_.start and (range_.end is None or first < range_.end):
            yield from _group_rows(parquet, group, first, columns, range_, source)
        first = last


def _group_rows(
    parquet: pq.ParquetFile, group: int, first: int, columns: list[str], range_: Range, source: Source
) -> Iterator[Row]:
    position = first
    for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
        start = max(0, range_.start - position)
        stop = batch.num_rows if range_.end is None else min(batch.num_rows, range_.end - position)
        if start < stop:
            part = batch.slice(start, stop - start)
            texts = _values(part.column(source.text_field))
            ids = (
                _values(part.column(source.id_field))
                if source.id_field is not None
                else [None] * part.num_rows
            )
            for offset, (text, id_) in enumerate(zip(texts, ids, strict=True)):
                yield _row(position + start + offset, id_, text, source)
        position += batch.num_rows
        if range_.end is not None and position >= range_.end:
            return


def _values(column: pa.Array) -> list[Any]:
    """Python values, strings as bytes: invalid UTF-8 occurs in parquet files and must not end the batch."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if (
        pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or pa.types.is_string_view(column.type)
    ):
        column = column.cast(pa.large_binary())
    return list(column.to_pylist())


def _row(position: int, id_: Any, text: Any, source: Source) -> Row:
    name = id_.decode(errors="replace") if isinstance(id_, bytes) else None if id_ is None else str(id_)
    try:
        return Row(position, name, _text(text, source.text_field), None)
    except lines.UnusableDocumentError as error:
        return Row(position, name, "", str(error))


def _text(value: bytes | None, field: str) -> str:
    if value is None:
        raise lines.UnusableDocumentError("missing_text", f"the column {field} is null")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise lines.UnusableDocumentError(
            "not_utf8", f"byte {error.start} of the text is not UTF-8"
        ) from error
    return lines.checked(text)
