"""Lines of JSONL files: which bytes are a line, which lines are documents, and what a line holds.

The planner counts with these functions and the readers read with them, so that both mean the same.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from typing import IO, Any, Literal, cast

import orjson
import pyarrow as pa

_BUFFER_BYTES = 1 << 20


class UnusableDocumentError(ValueError):
    """A line, a row or a value that can't be rephrased. `code` is machine-readable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


def buffered(file: IO[bytes]) -> io.BufferedReader:
    """The file with fast readline: that of fsspec's own files is slow. Closing it closes the file."""
    return io.BufferedReader(cast("io.RawIOBase", file), _BUFFER_BYTES)


def decompressed(file: IO[bytes], compression: Literal["gzip", "zstd"]) -> io.BufferedReader:
    """The decompressed content, all members or frames. Raises OSError when it is broken or cut off."""
    stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)
    return io.BufferedReader(stream, _BUFFER_BYTES)


def lines(file: io.BufferedReader) -> Iterator[bytes]:
    """The lines from the current place on, with their line ends."""
    return iter(file.readline, b"")


def content(line: bytes, *, first_of_file: bool) -> bytes:
    """The line without white space around it, and without the byte order mark that may start a file.

    Empty for a blank line, which is no document.
    """
    if first_of_file:
        line = line.removeprefix(codecs.BOM_UTF8)
    return line.strip()


def parse(line: bytes) -> dict[str, Any]:
    """The object that a line holds. Raises UnusableDocumentError.

    orjson is strict; what it refuses is tried again with the standard library, which lets NaN and
    escaped lone surrogates pass: both occur in the wild, next to text that is fine.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _parse_leniently(line)
    if not isinstance(value, dict):
        raise UnusableDocumentError(
            "not_an_object", f"the line holds a JSON {_json_type(value)}, not an object"
        )
    return value


def text_of(record: dict[str, Any], field: str) -> str:
    """The document's text. Raises UnusableDocumentError when there is none."""
    value = record.get(field)
    if value is None:
        raise UnusableDocumentError("missing_text", f"the field {field} is absent or null")
    if not isinstance(value, str):
        raise UnusableDocumentError(
            "text_not_string", f"the field {field} is a JSON {_json_type(value)}, not a string"
        )
    return checked(value)


def checked(text: str) -> str:
    """The text with lone surrogates replaced, which UTF-8 can't hold. Raises when it is blank."""
    if not text or text.isspace():
        raise UnusableDocumentError("empty_text", "the text is empty")
    return without_surrogates(text)


def without_surrogates(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _parse_leniently(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise UnusableDocumentError("not_utf8", f"byte {error.start} of the line is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UnusableDocumentError("invalid_json", f"the line is not JSON ({error})"[:200]) from error


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}[type(value)]
