"""Ids as exact text: two ids that differ in the source never become the same.

Python's own types would lose that. `datetime` has no nanoseconds and no year 20000, fast JSON parsers turn a
number above 64 bits into a float, and bytes that are not UTF-8 all decode to the same replacement character.
So Arrow converts the ids of parquet files, and the id of a JSON line is the text in the line.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from rephrase_worker.source import lines

_OUT_OF_RANGE = "<value out of range"
"""What Arrow prints for dates and times outside its calendar."""


def of_json(value: object, line: bytes, field: str) -> str | None:
    """The id of a JSON line: a string's content, and the raw text of anything else. None for null.

    `value` is the result of `lines.parse`, which is exact for strings and integers. Raises
    UnusableDocumentError for what is nested too deeply.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return escaped(value)
    if type(value) is int:
        return str(value)
    try:
        return escaped(_json(lines.parse_exactly(line)[field]))
    except RecursionError as error:
        raise lines.UnusableDocumentError("invalid_json", "the id is nested too deeply") from error


def of_column(column: pa.Array) -> list[str | None]:
    """The ids of a parquet column, whatever its type. None for null."""
    if pt.is_integer(column.type):  # the common case, ten times as fast
        return list(pc.cast(column, pa.string()).to_pylist())
    return [value if value is None or isinstance(value, str) else _json(value) for value in _plain(column)]


def escaped(text: str) -> str:
    """The text with every lone surrogate escaped as `\\udc80`, because UTF-8 can't hold it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _json(value: Any) -> str:
    """JSON with its numbers as they are written in the line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(str(key))}: {_json(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, lines.Number):
        return value.text
    return json.dumps(value, ensure_ascii=False)


def _plain(column: pa.Array) -> list[Any]:
    """The values as strings, integers, booleans, and lists and dictionaries of such."""
    type_ = column.type
    if isinstance(type_, pa.BaseExtensionType):
        storage = column.storage
        if type_.extension_name == "arrow.uuid":
            return [None if value is None else str(uuid.UUID(bytes=value)) for value in storage.to_pylist()]
        return _plain(storage)
    if pt.is_dictionary(type_):
        return _plain(column.dictionary_decode())
    if pt.is_struct(type_) or pt.is_nested(type_):
        return _nested(column)
    if pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_):
        return _map(bytes_of(column), lambda value: value.decode(errors="backslashreplace"))
    if pt.is_fixed_size_binary(type_):
        return _map(column.to_pylist(), bytes.hex)
    if pt.is_binary(type_) or pt.is_large_binary(type_) or pt.is_binary_view(type_):
        return _map(column.to_pylist(), _text_or_hex)
    if pt.is_floating(type_):
        return _map(column.to_pylist(), lambda value: repr(float(value)))
    if pt.is_temporal(type_) and not pt.is_interval(type_):
        return _moments(column)
    if pt.is_decimal(type_):
        return list(pc.cast(column, pa.string()).to_pylist())
    return list(column.to_pylist())


def bytes_of(column: pa.Array) -> list[bytes | None]:
    """A column of strings or binary values, whatever the width of its offsets, undecoded.

    Parquet files can hold invalid UTF-8, and that must not fail the whole batch.
    """
    type_ = column.type
    if isinstance(type_, pa.BaseExtensionType):
        return bytes_of(column.storage)
    if pt.is_dictionary(type_):
        return bytes_of(column.dictionary_decode())
    if pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_):
        column = column.cast(pa.large_binary())
    return list(column.to_pylist())


def _map(values: Iterable[Any], convert: Any) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _text_or_hex(value: bytes) -> str:
    """Many writers leave out that a column holds text; what is none is an id of another kind."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _moments(column: pa.Array) -> list[str | None]:
    """Dates, times and durations; in UTC where a zone is given, which need not be known here."""
    type_ = column.type
    zone = ""
    if pt.is_timestamp(type_) and type_.tz is not None:
        column, zone = column.cast(pa.int64()).cast(pa.timestamp(type_.unit)), "Z"
    numbers = column.cast(pa.int32() if type_.bit_width == 32 else pa.int64()).to_pylist()
    return [
        None if text is None else str(number) if text.startswith(_OUT_OF_RANGE) else text + zone
        for text, number in zip(pc.cast(column, pa.string()).to_pylist(), numbers, strict=True)
    ]


def _nested(column: pa.Array) -> list[Any]:
    if pt.is_struct(column.type):
        names = [field.name for field in column.type]
        children = [_plain(child) for child in column.flatten()]
        values = [
            dict(zip(names, row, strict=True)) if len(set(names)) == len(names) else list(row)
            for row in zip(*children, strict=True)
        ] or [{} for _ in range(len(column))]
        return [
            value if valid else None
            for value, valid in zip(values, column.is_valid().to_pylist(), strict=True)
        ]
    if pt.is_map(column.type):
        entry = pa.struct([("key", column.type.key_type), ("value", column.type.item_type)])
        column = column.cast(pa.list_(entry))
    values = _plain(column.flatten())
    found: list[Any] = []
    start = 0
    for length in pc.list_value_length(column).to_pylist():
        found.append(None if length is None else values[start : start + length])
        start += length or 0
    return found
