"""Decides by a file's name whether it is read, as what, and if not, why not."""

from __future__ import annotations

import posixpath
from typing import Literal

from rephrase_worker.plan import Compression, Format, SkippedPath

_FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".jsonlines": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
    ".xz": "xz",
}
READABLE = ".parquet, .pq, .jsonl, .ndjson or .json, the latter three also with .gz, .zst, .bz2 or .xz"
"""For messages."""

_METADATA = {
    "readme.md",
    "config.json",
    "croissant.json",
    "dataset_dict.json",
    "dataset_info.json",
    "dataset_infos.json",
    "state.json",
}
"""Files about a dataset that lie among its data; `datasets` leaves the same ones out (FILES_TO_IGNORE)."""

HIDDEN = "the name starts with a dot or an underscore"
SUFFIX = "the suffix is not that of a file that is read"
WHOLE_PARQUET = "parquet that is compressed as a whole is not read"
OTHER_FORMAT = "not of the format that source.format says"
METADATA = "about the dataset, holds no documents"
OUTPUT = "the output of a RephraseJob"
LOOP = "a link back to a folder that it lies in"
NOTHING = "a link to nothing"
SPECIAL = "not a regular file"
NAMELESS = "a folder whose name is empty can't be listed"

UNREADABLE = (SUFFIX, WHOLE_PARQUET, OTHER_FORMAT, SPECIAL)
"""Reasons that are about the file itself. A job that asks for just this file gets them as its error."""

_SHOWN_NAMES = 5
_SHOWN_CHARACTERS = 60


def format_of(
    path: str, wanted: Literal["auto", "parquet", "jsonl"], *, asked_for: bool
) -> tuple[Format, Compression | None] | str:
    """Format and compression of a file, or the reason why it is passed over.

    `asked_for`: by its name, or by a pattern that spells out the suffix. Then `source.format` is taken
    at its word; in a folder it leaves out what has the suffix of another format.
    """
    name = posixpath.basename(path).lower()
    stem, suffix = posixpath.splitext(name)
    compression = _COMPRESSIONS.get(suffix)
    if compression is not None:
        suffix = posixpath.splitext(stem)[1]
    known = _FORMATS.get(suffix)
    if not asked_for and name in _METADATA:
        return METADATA
    if wanted != "auto":
        if known not in (None, wanted) and not asked_for:
            return OTHER_FORMAT
        return wanted, compression if wanted == "jsonl" else None
    if known is None:
        return SUFFIX
    if known == "parquet" and compression is not None:
        return WHOLE_PARQUET
    return known, compression


def may_be_metadata(path: str) -> bool:
    """Whether the suffix is JSON's own, which documents have and all kinds of other things as well."""
    return path.lower().endswith(".json")


def summary(skipped: list[SkippedPath], count: int) -> str:
    """One line that says what was passed over and why; empty for nothing. `count` may exceed the list."""
    by_reason: dict[str, list[str]] = {}
    for one in sorted(skipped, key=lambda one: one.reason in (HIDDEN, METADATA)):
        by_reason.setdefault(one.reason, []).append(_short(one.path))
    parts = []
    for reason, paths in by_reason.items():
        more = f" and {len(paths) - _SHOWN_NAMES} more" if len(paths) > _SHOWN_NAMES else ""
        parts.append(f"{', '.join(paths[:_SHOWN_NAMES])}{more} ({reason})")
    if count > len(skipped):
        parts.append(f"and {count - len(skipped)} more")
    return "; ".join(parts)


def _short(path: str) -> str:
    """The path without control characters; only its end if it is long."""
    shown = "".join(character if character.isprintable() else "�" for character in path)
    return shown if len(shown) <= _SHOWN_CHARACTERS else "…" + shown[1 - _SHOWN_CHARACTERS :]
