"""Lines of JSONL files: which bytes are a line, which lines are documents, and what a line holds.

The planner counts with these functions and the readers read with them, so that both agree on what a line is.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

LONGEST = 128 << 20
"""Bytes of the longest line that is read; a longer one is a document in error."""

_SKIP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as the text in the line, NaN and Infinity included."""

    text: str


class UnusableDocumentError(ValueError):
    """A line, a row or a value that can't be rephrased. `code` is machine-readable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


def read_line(file: io.BufferedReader) -> tuple[bytes, int]:
    """The next line with its end, and its length; empty at the end of the file.

    Of a line that is longer than `LONGEST` only the start is kept: a few kilobytes of compressed zeros would
    otherwise fill the memory.
    """
    line = file.readline(LONGEST)
    length = len(line)
    if length == LONGEST:
        while not line.endswith(b"\n") and (more := file.readline(_SKIP_BYTES)):
            length += len(more)
            if more.endswith(b"\n"):
                break
    return line, length


def lines(file: io.BufferedReader) -> Iterator[tuple[bytes, int]]:
    """The lines from the current place on, as `read_line` gives them."""
    while (found := read_line(file))[0]:
        yield found


def content(line: bytes) -> bytes:
    """The line without white space around it and without a byte order mark. Empty: it is no document.

    A byte order mark starts a file. In a file that was joined from several it can be before any line.
    """
    line = line.strip()
    while line.startswith(codecs.BOM_UTF8):
        line = line[len(codecs.BOM_UTF8) :].lstrip()
    return line


def parse(line: bytes) -> dict[str, Any]:
    """The object that a line holds. Raises UnusableDocumentError.

    orjson is strict. A line that it refuses is parsed again with the standard library, which accepts NaN,
    numbers of any size and escaped lone surrogates. All of these occur in real files, in documents whose text
    is fine.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return parse_exactly(line)
    return _object(value)


def parse_exactly(line: bytes) -> dict[str, Any]:
    """Like `parse`, but every number is its text, because no type of Python's can hold all of them."""
    try:
        value = json.loads(line.decode(), parse_int=Number, parse_float=Number, parse_constant=Number)
    except UnicodeDecodeError as error:
        raise UnusableDocumentError("not_utf8", f"byte {error.start} of the line is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UnusableDocumentError("invalid_json", f"the line is not JSON ({error})"[:200]) from error
    return _object(value)


def _object(value: Any) -> dict[str, Any]:
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
    """The text with lone surrogates replaced, because UTF-8 can't hold them. Raises if it is blank."""
    if not text or text.isspace():
        raise UnusableDocumentError("empty_text", "the text is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Number):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}[type(value)]
