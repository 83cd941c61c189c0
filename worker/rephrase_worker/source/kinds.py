"""Says in words what the first bytes of a file look like. Messages describe content and never quote it."""

from __future__ import annotations

import codecs

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "a parquet file"),
    (b"PARE", "an encrypted parquet file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"PK\x03\x04", "a zip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (b"ARROW1", "an Arrow file"),
    (b"\xff\xff\xff\xff", "an Arrow stream"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"%PDF", "a PDF file"),
    (b"SQLite format 3", "an SQLite database"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer (fetch the file itself with `git lfs pull`)",
    ),
    (b"/annex/objects/", "a git-annex pointer (fetch the file itself with `git annex get`)"),
    (codecs.BOM_UTF32_LE, "UTF-32 text (convert it to UTF-8)"),
    (codecs.BOM_UTF32_BE, "UTF-32 text (convert it to UTF-8)"),
    (codecs.BOM_UTF16_LE, "UTF-16 text (convert it to UTF-8)"),
    (codecs.BOM_UTF16_BE, "UTF-16 text (convert it to UTF-8)"),
)
_PARQUET_MAGIC = (b"PAR1", b"PARE")
_HEAD_BYTES = 4096


def is_parquet(head: bytes) -> bool:
    """Whether a file that starts like this is a parquet file, which may be broken or encrypted."""
    return head.startswith(_PARQUET_MAGIC)


def looks_like(head: bytes) -> str:
    """What a file is that starts like this, such as "a gzip file"."""
    head = head[:_HEAD_BYTES]
    if not head:
        return "an empty file"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if b"\0" in head:
        return "UTF-16 text (convert it to UTF-8)" if _is_utf16(head) else "binary data"
    text = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if text.startswith(b"<?xml"):
        return "an XML document"
    if text.startswith(b"["):
        return "a JSON array (write one object a line instead, as `jq -c '.[]'` does)"
    if text.startswith(b"{"):
        if b"\r" in text and b"\n" not in text:
            return "lines that end with carriage returns alone (convert them to line feeds)"
        return "a JSON object spread over several lines (write each on one line), or broken JSON"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "binary data, or text that is not UTF-8"
    return "text that is not JSON"


def _is_utf16(head: bytes) -> bool:
    """Whether every second byte is mostly zero, as in UTF-16 without a byte order mark."""
    return any(head[start::2].count(0) * 2 > len(head[start::2]) for start in (0, 1))
