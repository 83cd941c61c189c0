"""A first look into a source's files: what they are, where the text is, and how many documents they hold.

The footer of a parquet file has its number of rows. The lines of a small JSONL file are counted; those of a
larger one are estimated from its first MiB. A plan needs no exact count, and reading a terabyte twice would
cost more than a shard that is a little longer than the others.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from rephrase_worker.columns import Wanted
from rephrase_worker.plan import SourceFile
from rephrase_worker.source import kinds, lines
from rephrase_worker.source.decompress import INPUT_BYTES, CompressedStream, buffered
from rephrase_worker.source.fields import json_type
from rephrase_worker.source.files import FoundFile
from rephrase_worker.source.opened import BrokenFileError, WatchedFile
from rephrase_worker.source.parquet import open_parquet
from rephrase_worker.spec import Reason, Source, WorkerError

COUNTED_BYTES = 64 << 20
"""JSONL files up to this size are read whole and counted exactly. It is the compressed size."""

SAMPLE_BYTES = 1 << 20
"""Bytes from which the count of a larger file is estimated."""

SAMPLE_LINES = 100
"""Lines at the start of a file that are parsed, to see whether it is JSON and has the fields."""

_MAGIC = {
    "gzip": (b"\x1f\x8b",),
    "bz2": (b"BZh",),
    "xz": (b"\xfd7zXZ\0",),
    # A zstd file may start with a frame to skip.
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))),
}
_NAME_CHARACTERS = 60
_LONGEST_HEAD = 64 << 20
_SAMPLED_INPUT_BYTES = 4096


class NotDocumentsError(WorkerError):
    """The file holds no documents of this source. `names_text`: the text field's name occurs in it."""

    def __init__(self, reason: Reason, message: str, *, names_text: bool) -> None:
        super().__init__(reason, message)
        self.names_text = names_text


class Inspected(NamedTuple):
    """What a first look into a file has found."""

    file: SourceFile
    types: dict[str, pa.DataType]
    """Of the other columns that the job wants: all of them in parquet, those that were seen in JSON lines."""


class _Look(NamedTuple):
    documents: int
    exact: bool
    types: dict[str, pa.DataType]


def inspect(found: FoundFile, file: WatchedFile, source: Source, wanted: Wanted) -> Inspected:
    """The file as the plan records it. `file` is open at its start.

    Raises WorkerError: SOURCE_FORMAT when the file is not what its suffix or `source.format` says,
    TEXT_FIELD_MISSING when it has no text or id field, NotDocumentsError for both where JSON lines were
    looked for; COLUMN_MISSING when a parquet file lacks a column that is wanted besides. What libraries raise
    over the content passes.
    """
    if found.format == "parquet":
        look = _inspect_parquet(found, file, source, wanted)
    elif found.size == 0:
        look = _Look(0, exact=True, types={})
    else:
        look = _inspect_jsonl(found, file, source, wanted)
    recorded = SourceFile(
        path=found.path,
        format=found.format,
        compression=found.compression,
        size=found.size,
        etag=found.etag,
        documents=look.documents,
        documents_exact=look.exact,
    )
    return Inspected(recorded, look.types)


def has_text(type_: pa.DataType) -> bool:
    """Whether a parquet column of this type can hold texts."""
    if isinstance(type_, pa.BaseExtensionType):
        return has_text(type_.storage_type)
    if pt.is_dictionary(type_):
        return has_text(type_.value_type)
    return bool(
        pt.is_null(type_)  # of a file in which every text is null
        or pt.is_string(type_)
        or pt.is_large_string(type_)
        or pt.is_string_view(type_)
        or pt.is_binary(type_)
        or pt.is_large_binary(type_)
        or pt.is_binary_view(type_)
    )


def _inspect_parquet(found: FoundFile, file: WatchedFile, source: Source, wanted: Wanted) -> _Look:
    head = file.read(4096)
    file.seek(0)
    if not kinds.is_parquet(head):
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"{found.path} is not a parquet file: it looks like {kinds.looks_like(head)}.",
        )
    parquet = open_parquet(file)
    groups = [parquet.metadata.row_group(group) for group in range(parquet.num_row_groups)]
    rows = [group.num_rows for group in groups]
    if min(rows, default=0) < 0 or sum(rows) != parquet.metadata.num_rows:
        raise BrokenFileError("its footer contradicts itself on the number of rows")
    if not sum(rows):
        # Distributed writers leave empty parts, whose columns can differ from the others'.
        return _Look(0, exact=True, types={})
    schema = parquet.schema_arrow
    _require_column(found, schema, source.text_field)
    type_ = schema.field(source.text_field).type
    if not has_text(type_):
        raise WorkerError(
            Reason.TEXT_FIELD_MISSING,
            f"The column {source.text_field} of {found.path} holds {_short(str(type_))}, not text. Set "
            "source.textField to one of: "
            f"{_names(field.name for field in schema if has_text(field.type))}.",
        )
    if source.id_field is not None:
        _require_column(found, schema, source.id_field)
    for name in wanted.names:
        _require_column(found, schema, name, wanted)
    return _Look(sum(rows), exact=True, types={name: schema.field(name).type for name in wanted.names})


def _require_column(found: FoundFile, schema: pa.Schema, name: str, wanted: Wanted | None = None) -> None:
    if schema.names.count(name) != 1:
        problem = "has no column" if name not in schema.names else "has several columns named"
        reason, why = Reason.TEXT_FIELD_MISSING, ""
        if wanted is not None:
            reason, why = Reason.COLUMN_MISSING, f", which {wanted.asks_for(name)}"
        raise WorkerError(reason, f"{found.path} {problem} {name}{why}. Its columns: {_names(schema.names)}.")


def _inspect_jsonl(found: FoundFile, file: WatchedFile, source: Source, wanted: Wanted) -> _Look:
    counted = found.size <= COUNTED_BYTES
    stream: io.RawIOBase = file
    if found.compression is not None:
        _require_magic(found, file)
        input_bytes = INPUT_BYTES if counted else _SAMPLED_INPUT_BYTES
        stream = CompressedStream(file, found.compression, input_bytes=input_bytes)
    if counted:
        return _count(found, stream, source, wanted)
    head = _read_head(stream)
    consumed = stream.consumed if isinstance(stream, CompressedStream) else len(head)
    sample = _whole_lines(head)
    types = _check_lines(found, sample, source, wanted)
    documents = sum(1 for line in sample if lines.content(line))
    bytes_per_document = consumed * sum(map(len, sample)) / max(1, len(head)) / max(1, documents)
    estimate = max(1, round(found.size / max(1.0, bytes_per_document)))
    return _Look(estimate, exact=False, types=types)


def _read_head(stream: io.RawIOBase) -> bytes:
    """The start of the content. Of a compressed file it is all that the bytes read so far hold, so that the
    ratio of both sizes is right.
    """
    head = bytearray()
    while len(head) < SAMPLE_BYTES or (
        isinstance(stream, CompressedStream) and not stream.drained and len(head) < _LONGEST_HEAD
    ):
        part = stream.read(SAMPLE_BYTES)
        if not part:
            break
        head += part
    return bytes(head)


def _count(found: FoundFile, stream: io.RawIOBase, source: Source, wanted: Wanted) -> _Look:
    """The exact number of documents. The first lines are checked as well."""
    sample: list[bytes] = []
    sampled = documents = 0
    types: dict[str, pa.DataType] | None = None
    with buffered(stream) as content:
        for number, (line, _) in enumerate(lines.lines(content)):
            if number < SAMPLE_LINES and sampled < SAMPLE_BYTES:
                sample.append(line)
                sampled += len(line)
            elif types is None:
                types = _check_lines(found, sample, source, wanted)
            documents += bool(lines.content(line))
    if types is None:
        types = _check_lines(found, sample, source, wanted)
    return _Look(documents, exact=True, types=types)


def _require_magic(found: FoundFile, file: WatchedFile) -> None:
    head = file.read(4096)
    file.seek(0)
    if not head.startswith(_MAGIC[str(found.compression)]):
        plain = head.lstrip().startswith(b"{")
        looks = "plain JSON (take the suffix off its name)" if plain else kinds.looks_like(head)
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"{found.path} is not compressed with {found.compression}: it looks like {looks}.",
        )


def _whole_lines(head: bytes) -> list[bytes]:
    """The lines at the start of a file, without the last one, which is cut off. A single line is kept."""
    found = [part + b"\n" for part in head.split(b"\n")]
    return found[:-1] if len(found) > 1 else [head]


def _check_lines(
    found: FoundFile, sample: Sequence[bytes], source: Source, wanted: Wanted
) -> dict[str, pa.DataType]:
    """The types of the wanted keys that the lines of a file's start have.

    Raises NotDocumentsError when no line is a JSON object, or none has text and id.
    """
    contents = [content for content in map(lines.content, sample) if content][:SAMPLE_LINES]
    if not contents:
        return {}
    quoted = json.dumps(source.text_field).encode()
    names_text = any(quoted in content for content in contents)
    records: list[dict[str, Any]] = []
    problems: list[str] = []
    for content in contents:
        try:
            records.append(lines.parse(content))
        except lines.UnusableDocumentError as error:
            problems.append(error.code)
    if not records:
        if len(contents) == 1 and len(contents[0]) >= SAMPLE_BYTES and contents[0].startswith(b"{"):
            return {}  # The first line is longer than the sample, so it can't be judged yet.
        raise NotDocumentsError(
            Reason.SOURCE_FORMAT,
            f"{found.path} does not hold one JSON object a line: it looks like "
            f"{kinds.looks_like(b''.join(sample))} ({problems[0]}).",
            names_text=names_text,
        )
    for option, field in (("textField", source.text_field), ("idField", source.id_field)):
        if field is not None and not any(field in record for record in records):
            fields = list(dict.fromkeys(name for record in records for name in record))
            raise NotDocumentsError(
                Reason.TEXT_FIELD_MISSING,
                f"None of the first {len(records)} documents of {found.path} has the field {field}. "
                f"Set source.{option} to one of: {_names(fields)}.",
                names_text=names_text,
            )
    return {
        name: json_type([record.get(name) for record in records])
        for name in wanted.names
        if any(name in record for record in records)
    }


def _names(names: Iterable[str]) -> str:
    """Up to twenty names as a list for a message."""
    listed = sorted(names)
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return (", ".join(map(_short, listed[:20])) or "none") + more


def _short(name: str) -> str:
    shown = "".join(character if character.isprintable() else "�" for character in name)
    return shown if len(shown) <= _NAME_CHARACTERS else f"{shown[: _NAME_CHARACTERS - 1]}…"
