"""A first look into a source's files: are they what they seem, where is the text, how many documents.

Parquet is counted from its footer. JSONL is counted line by line when the file is small, and else
estimated from its first MiB: a plan needs no exact count, and reading a terabyte twice costs more
than a shard that is a little longer than the others.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from rephrase_worker.plan import SourceFile
from rephrase_worker.source import lines
from rephrase_worker.source.files import FoundFile, is_undecodable
from rephrase_worker.spec import Reason, Source, WorkerError

COUNTED_BYTES = 64 << 20
"""JSONL files up to this size (compressed, if they are) are read whole and counted exactly."""

SAMPLE_BYTES = 1 << 20
"""Bytes that a larger file's count is estimated from."""

SAMPLE_LINES = 100
"""Lines at the start of a file that are parsed, to see whether it is JSON and has the text field."""

_PART_BYTES = 4096

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "a parquet file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"PK\x03\x04", "a zip file"),
    (b"ARROW1", "an Arrow file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
)
_COMPRESSION_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def inspect(found: FoundFile, file: IO[bytes], source: Source) -> SourceFile:
    """The file as the plan records it. `file` is open at its start.

    Raises WorkerError: SOURCE_FORMAT when the file is not what its suffix or `source.format` says,
    TEXT_FIELD_MISSING when it has no text field.
    """
    if found.format == "parquet":
        documents, exact = _inspect_parquet(found, file, source), True
    elif found.size == 0:
        documents, exact = 0, True
    else:
        documents, exact = _inspect_jsonl(found, file, source)
    return SourceFile(
        path=found.path,
        format=found.format,
        compression=found.compression,
        size=found.size,
        etag=found.etag,
        documents=documents,
        documents_exact=exact,
    )


def has_text(type_: pa.DataType) -> bool:
    """Whether a parquet column of this type can hold texts."""
    if pa.types.is_dictionary(type_):
        return has_text(type_.value_type)
    return bool(
        pa.types.is_null(type_)  # of a file in which every text is null
        or pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
        or pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_binary_view(type_)
    )


def _inspect_parquet(found: FoundFile, file: IO[bytes], source: Source) -> int:
    head = file.read(4)
    file.seek(0)
    try:
        parquet = pq.ParquetFile(file)
        schema = parquet.schema_arrow
    except (pa.ArrowException, OSError) as error:
        if not is_undecodable(error):
            raise
        if head == b"PAR1":
            problem = f"its footer can't be read, it may be cut off or encrypted ({error})"
        else:
            problem = f"it looks like {_looks_like(head)}"
        raise WorkerError(Reason.SOURCE_FORMAT, f"{found.path} is not a parquet file: {problem}.") from error
    _require_column(found, schema, source.text_field)
    if not has_text(schema.field(source.text_field).type):
        raise WorkerError(
            Reason.TEXT_FIELD_MISSING,
            f"The column {source.text_field} of {found.path} holds {schema.field(source.text_field).type}, "
            "not text. Set source.textField to one of: "
            f"{_names(field.name for field in schema if has_text(field.type))}.",
        )
    if source.id_field is not None:
        _require_column(found, schema, source.id_field)
    return int(parquet.metadata.num_rows)


def _require_column(found: FoundFile, schema: pa.Schema, name: str) -> None:
    if schema.names.count(name) != 1:
        problem = "has no column" if name not in schema.names else "has several columns named"
        raise WorkerError(
            Reason.TEXT_FIELD_MISSING, f"{found.path} {problem} {name}. Its columns: {_names(schema.names)}."
        )


def _inspect_jsonl(found: FoundFile, file: IO[bytes], source: Source) -> tuple[int, bool]:
    if found.compression is not None:
        _require_magic(found, file)
    if found.size <= COUNTED_BYTES:
        return _count(found, file, source), True
    raw = file.read(SAMPLE_BYTES)
    head, consumed = (raw, len(raw)) if found.compression is None else _decompress_start(found, raw)
    sample = _whole_lines(head)
    _check_lines(found, sample, source)
    documents = sum(1 for line in sample if lines.content(line, first_of_file=False))
    bytes_per_document = consumed * sum(map(len, sample)) / max(1, len(head)) / max(1, documents)
    return max(1, round(found.size / max(1.0, bytes_per_document))), False


def _count(found: FoundFile, file: IO[bytes], source: Source) -> int:
    """Exact number of documents; the first lines are checked in passing."""
    opened = (
        lines.buffered(file) if found.compression is None else lines.decompressed(file, found.compression)
    )
    sample: list[bytes] = []
    documents = 0
    checked = False
    try:
        with opened as stream:
            for number, line in enumerate(lines.lines(stream)):
                if number < SAMPLE_LINES:
                    sample.append(line)
                elif not checked:
                    _check_lines(found, sample, source)
                    checked = True
                documents += bool(lines.content(line, first_of_file=number == 0))
    except OSError as error:
        if not is_undecodable(error):
            raise
        raise WorkerError(
            Reason.SOURCE_FORMAT, f"{found.path} can't be decompressed as {found.compression}: {error}."
        ) from error
    if not checked:
        _check_lines(found, sample, source)
    return documents


def _require_magic(found: FoundFile, file: IO[bytes]) -> None:
    head = file.read(8)
    file.seek(0)
    # A zstd file may start with a skippable frame.
    skippable = found.compression == "zstd" and head[1:4] == b"\x2a\x4d\x18" and head[:1] >= b"\x50"
    if not head.startswith(_COMPRESSION_MAGIC[str(found.compression)]) and not skippable:
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"{found.path} is not a {found.compression} file: it looks like {_looks_like(head)}.",
        )


def _decompress_start(found: FoundFile, raw: bytes) -> tuple[bytes, int]:
    """The start of a compressed file's content, and how many of the raw bytes it comes from."""
    new = _gzip_member if found.compression == "gzip" else _zstd_frame
    stream = new()
    head = bytearray()
    consumed = 0
    try:
        while consumed < len(raw) and len(head) < SAMPLE_BYTES:
            part = raw[consumed : consumed + _PART_BYTES]
            consumed += len(part)
            while part:
                head += stream.decompress(part)
                part = stream.unused_data if stream.eof else b""
                if stream.eof:
                    stream = new()
    except (zlib.error, zstandard.ZstdError) as error:
        raise WorkerError(
            Reason.SOURCE_FORMAT, f"{found.path} can't be decompressed as {found.compression}: {error}."
        ) from error
    return bytes(head), consumed


class _Decompressor(Protocol):
    """What zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip_member() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


def _zstd_frame() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


def _whole_lines(head: bytes) -> list[bytes]:
    """The lines of a file's start without the last, which is cut; a single cut line is kept."""
    found = [part + b"\n" for part in head.split(b"\n")]
    return found[:-1] if len(found) > 1 else [head]


def _check_lines(found: FoundFile, sample: Sequence[bytes], source: Source) -> None:
    """Raises when no line of a file's start is a JSON object, or none has the text field."""
    contents = [lines.content(line, first_of_file=number == 0) for number, line in enumerate(sample)]
    contents = [content for content in contents if content][:SAMPLE_LINES]
    if not contents:
        return
    records: list[dict[str, Any]] = []
    problems: list[str] = []
    for content in contents:
        try:
            records.append(lines.parse(content))
        except lines.UnusableDocumentError as error:
            problems.append(str(error))
    if not records:
        if len(contents) == 1 and len(contents[0]) >= SAMPLE_BYTES and contents[0].startswith(b"{"):
            return  # One line longer than the sample: nothing can be said about it yet.
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"{found.path} does not hold one JSON object a line: it looks like {_looks_like(contents[0])} "
            f"({problems[0]}).",
        )
    if not any(source.text_field in record for record in records):
        fields = list(dict.fromkeys(name for record in records for name in record))
        raise WorkerError(
            Reason.TEXT_FIELD_MISSING,
            f"None of the first {len(records)} documents of {found.path} has the field {source.text_field}. "
            f"Set source.textField to one of: {_names(fields)}.",
        )


def _looks_like(head: bytes) -> str:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if not head:
        return "an empty file"
    if head.startswith(b"["):
        return "a JSON array (write one object a line instead)"
    if head.startswith(b"{"):
        return "a JSON object spread over several lines, or broken JSON"
    if b"\0" in head[:4096]:
        return "binary data or UTF-16 text"
    return f"text that starts with {json.dumps(head[:40].decode(errors='replace'))}"


def _names(names: Iterable[str]) -> str:
    """Up to twenty names as a list for a message."""
    listed = sorted(names)
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return (", ".join(listed[:20]) or "none") + more
