"""Documents of JSONL files: of a byte range of a plain file, or of a whole compressed one."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rephrase_worker.plan import Compression, Range
from rephrase_worker.source import ids, lines
from rephrase_worker.source.decompress import CompressedStream, buffered
from rephrase_worker.source.fields import Fields
from rephrase_worker.source.opened import WatchedFile
from rephrase_worker.source.row import Row
from rephrase_worker.spec import Source

_SKIP_BYTES = 1 << 20


def plain_rows(file: WatchedFile, range_: Range, source: Source, fields: Fields) -> Iterator[Row]:
    """Documents whose line begins in the range. The position is the offset of the line's first byte."""
    with buffered(file) as stream:
        position = _first_line(stream, range_.start)
        while range_.end is None or position < range_.end:
            line, length = lines.read_line(stream)
            if not line:
                return
            content = lines.content(line)
            if content:
                yield _row(position, content, length, source, fields)
            position += length


def _first_line(stream: io.BufferedReader, start: int) -> int:
    """Moves to the first line that starts at `start` or later, and returns where that is."""
    if start == 0:
        return 0
    # A line starts here only if the byte before ends one. Otherwise the rest of the line belongs to the range
    # before this one.
    position = start - 1
    stream.seek(position)
    while skipped := stream.readline(_SKIP_BYTES):
        position += len(skipped)
        if skipped.endswith(b"\n"):
            break
    return position


def compressed_rows(
    file: WatchedFile, compression: Compression, source: Source, fields: Fields
) -> Iterator[Row]:
    """All documents of a compressed file. Position: line number from 0, blank lines counted."""
    with buffered(CompressedStream(file, compression)) as stream:
        for number, (line, length) in enumerate(lines.lines(stream)):
            content = lines.content(line)
            if content:
                yield _row(number, content, length, source, fields)


def _row(position: int, content: bytes, length: int, source: Source, fields: Fields) -> Row:
    id_ = texts = carried = None
    try:
        if length > lines.LONGEST:
            raise lines.UnusableDocumentError("line_too_long", f"the line has {length} bytes")
        record = lines.parse(content)
        if source.id_field is not None:
            id_ = ids.of_json(record.get(source.id_field), content, source.id_field)
        texts, carried = fields.of_record(record, content)
        return Row(position, id_, lines.text_of(record, source.text_field), None, texts, carried)
    except lines.UnusableDocumentError as error:
        return Row(position, id_, "", str(error), texts, carried)
