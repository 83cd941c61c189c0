"""Documents of a range of rows of a parquet file."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from rephrase_worker.plan import Range
from rephrase_worker.source import ids, lines
from rephrase_worker.source.fields import Fields, Others
from rephrase_worker.source.opened import BrokenFileError, WatchedFile
from rephrase_worker.source.row import Row
from rephrase_worker.spec import Source

_BATCH_ROWS = 64
_BUFFER_BYTES = 4 << 20


def open_parquet(file: WatchedFile) -> pq.ParquetFile:
    """The file with its footer read. Checksums of its pages are verified if it has them."""
    # Without pre-buffering and with a buffer size, Arrow streams a column chunk instead of loading all of it.
    return pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)


def rows(file: WatchedFile, range_: Range, source: Source, fields: Fields) -> Iterator[Row]:
    """The rows of the range, each with its number as position. Only their row groups are read, and only the
    columns of text and id and those that are wanted besides.
    """
    parquet = open_parquet(file)
    own = [source.text_field, source.id_field or source.text_field]
    columns = list(dict.fromkeys([*own, *fields.sources]))
    first = 0
    for group in range(parquet.num_row_groups):
        count = parquet.metadata.row_group(group).num_rows
        last = first + count
        if last > range_.start and (range_.end is None or first < range_.end):
            yield from _group_rows(parquet, group, first, columns, range_, source, fields)
        first = last


def _group_rows(
    parquet: pq.ParquetFile,
    group: int,
    first: int,
    columns: list[str],
    range_: Range,
    source: Source,
    fields: Fields,
) -> Iterator[Row]:
    position = first
    for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
        start = max(0, range_.start - position)
        stop = batch.num_rows if range_.end is None else min(batch.num_rows, range_.end - position)
        if start < stop:
            part = batch.slice(start, stop - start)
            texts = ids.bytes_of(part.column(source.text_field))
            found = (
                ids.of_column(part.column(source.id_field))
                if source.id_field is not None
                else [None] * part.num_rows
            )
            others = fields.of_batch(part)
            for offset, (text, id_, other) in enumerate(zip(texts, found, others, strict=True)):
                yield _row(position + start + offset, id_, text, other, source)
        position += batch.num_rows
        if range_.end is not None and position >= range_.end:
            return
    if position - first != parquet.metadata.row_group(group).num_rows:
        raise BrokenFileError(
            f"row group {group} has {position - first} rows and its footer says "
            f"{parquet.metadata.row_group(group).num_rows}"
        )


def _row(position: int, id_: str | None, text: bytes | None, other: Others, source: Source) -> Row:
    texts, carried, misfit = other
    try:
        found = _text(text, source.text_field) if misfit is None else ""
        return Row(position, id_, found, misfit, texts, carried)
    except lines.UnusableDocumentError as error:
        return Row(position, id_, "", str(error), texts, carried)


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
