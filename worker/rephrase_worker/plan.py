"""The frozen plan: which files, and which positions of them are which shard.

A position is the row in a parquet file, the byte offset of a line in plain JSONL, or the line number in
compressed JSONL. The plan is written once, next to the output. Nothing lists the source again later.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rephrase_worker.columns import CarriedColumn
from rephrase_worker.spec import Contract

Format = Literal["parquet", "jsonl"]
Compression = Literal["gzip", "zstd", "bz2", "xz"]

SKIPPED_LISTED = 10_000
SKIPPED_SHOWN = 20
"""Skipped paths that the listing and the plan's summary name; both have the count of all."""


class SkippedPath(Contract):
    """A file or folder below the source that is not read. A folder's path ends with a slash."""

    path: str
    reason: str


class SourceFile(Contract):
    """One file of the source, as it was when the plan was made."""

    path: str
    """Relative to `SourceListing.root`; the `source_file` of its samples."""
    format: Format
    compression: Compression | None = None
    """Of JSONL. A compressed file can't be split: it is one range."""
    size: int
    etag: str
    """What identifies the content for the store: ETag, generation, or size and time of the last change."""
    documents: int
    """Rows in a parquet file; lines of a JSONL file, counted or estimated."""
    documents_exact: bool


class SourceListing(Contract):
    """`plan/source.json`: the source's files in the order in which they are read. The first writer wins."""

    schema_version: Literal[1] = 1
    root: str
    """Folder that the files' paths start from, with protocol: `Location.parse` gives the
    same file system and path again."""
    revision: str | None = None
    model_revision: str | None = None
    model_weights_bytes: int | None = None
    """Size of the model's weights, where planning could see it."""
    model_asked: str | None = None
    """How the model is asked and what is taken of its answers, for people."""
    files: list[SourceFile]
    skipped_files: int = 0
    """Files and whole folders that were passed over."""
    skipped: list[SkippedPath] = Field(default_factory=list)
    """The first `SKIPPED_LISTED` of them."""
    columns: list[CarriedColumn] = Field(default_factory=list)
    """The source's columns that go into the output."""


class Range(Contract):
    """A run of positions of one file: `start` inclusive, `end` exclusive.

    Rows of parquet. Bytes of plain JSONL, where a line belongs to the range that holds its first byte. Lines
    of compressed JSONL, and always the whole file (`end` None).
    """

    file: SourceFile
    start: int
    end: int | None = None
    max_documents: int | None = None
    """Stop after this many, for `source.maxDocuments`."""


class ShardPlan(Contract):
    """`plan/shard-00042.json`: what one worker reads, in order."""

    schema_version: Literal[1] = 1
    shard: int
    root: str
    ranges: list[Range]
    documents: int
    """Planned documents; an estimate where a range's file is not exact."""
    documents_exact: bool
    model_revision: str | None = None
    columns: list[CarriedColumn] = Field(default_factory=list)


class Plan(Contract):
    """`plan/plan.json`: the summary. It is written last: if it exists, the plan is complete."""

    schema_version: Literal[1] = 1
    recipe_hash: str
    shards: int
    documents: int
    documents_exact: bool
    files: int
    bytes: int
    skipped_files: int = 0
    skipped: list[SkippedPath] = Field(default_factory=list)
    """The first `SKIPPED_SHOWN`."""
    columns: list[CarriedColumn] = Field(default_factory=list)
    """The source's columns that go into the output."""
    source_revision: str | None = None
    model_revision: str | None = None
    model_weights_bytes: int | None = None
    """Size of the model's weights, where planning could see it."""
    model_asked: str | None = None
    """How the model is asked and what is taken of its answers, for people."""
