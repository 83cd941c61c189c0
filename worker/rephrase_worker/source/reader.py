"""Reading one shard: its ranges become a stream of DataTrove documents, one per position, in order.

A position without a text to rephrase still yields a document, with the error in its metadata. It becomes a
row with that error and is never lost. If the file itself is broken (changed since it was planned, cut off,
not decodable), the shard ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from rephrase_worker.plan import Range, ShardPlan, SourceFile
from rephrase_worker.source import jsonl, parquet
from rephrase_worker.source.fields import Fields
from rephrase_worker.source.files import etag, open_location
from rephrase_worker.source.opened import BrokenFileError, UnreachableFileError, watched
from rephrase_worker.source.row import Row
from rephrase_worker.spec import ExitCode, Reason, Source, WorkerError
from rephrase_worker.store.errors import describe
from rephrase_worker.store.location import Location


class ShardReader(PipelineStep):
    """DataTrove reader of one planned shard.

    Each document's metadata holds `source_file` and `source_position`, and `error` (`code: sentence`)
    with an empty text when the document can't be rephrased. Codes: invalid_json, not_an_object,
    missing_text, text_not_string, empty_text, not_utf8, line_too_long, column_type. `fields` are the texts of
    the `placeholders`, `carried` the values of the plan's columns. Memory stays within a small batch of
    documents.

    Raises WorkerError while it runs: SOURCE_CHANGED when a file is not the one that was planned,
    SOURCE_UNREADABLE when its content can't be decoded or the file can't be opened.
    """

    type = "Reader"
    name = "Rephrase shard"

    def __init__(self, shard: ShardPlan, source: Source, placeholders: Sequence[str] = ()) -> None:
        super().__init__()
        self._shard = shard
        self._source = source
        self._fields = Fields(placeholders, shard.columns)

    def run(
        self,
        data: DocumentsPipeline = None,
        rank: int = 0,  # noqa: ARG002  # DataTrove's signature
        world_size: int = 1,  # noqa: ARG002
    ) -> Iterator[Document]:
        """The shard's documents. Rank and world size are ignored, because the plan says what is read."""
        if data is not None:
            yield from data
        root = open_location(self._shard.root)
        for range_ in self._shard.ranges:
            rows = _read(root, range_, self._source, self._fields)
            for row in islice(rows, range_.max_documents):
                yield _document(range_.file.path, row)


def _document(path: str, row: Row) -> Document:
    metadata: dict[str, Any] = {"source_file": path, "source_position": row.position}
    if row.error is not None:
        metadata["error"] = row.error
    if row.fields is not None:
        metadata["fields"] = row.fields
    if row.carried is not None:
        metadata["carried"] = row.carried
    return Document(text=row.text, id=row.id or f"{path}:{row.position}", metadata=metadata)


def _read(root: Location, range_: Range, source: Source, fields: Fields) -> Iterator[Row]:
    planned = range_.file
    location = root / planned.path
    _require_unchanged(location, planned)
    try:
        with watched(location, planned.size) as file:
            if planned.format == "parquet":
                yield from parquet.rows(file, range_, source, fields)
            elif planned.compression is None:
                yield from jsonl.plain_rows(file, range_, source, fields)
            else:
                yield from jsonl.compressed_rows(file, planned.compression, source, fields)
    except BrokenFileError as error:
        raise WorkerError(
            Reason.SOURCE_UNREADABLE,
            f"{location.uri} can't be decoded: {error}. Replace the file by a sound copy and start a new "
            "job; the other shards are not affected.",
        ) from error
    except UnreachableFileError as error:
        raise _unreachable(location, error.cause) from error


def _require_unchanged(location: Location, planned: SourceFile) -> None:
    """Makes sure that the file is still the one that was planned."""
    try:
        info = location.info()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WorkerError(
            Reason.SOURCE_CHANGED,
            f"{location.uri} was there when the job was planned and is gone. Restore the file.",
        ) from error
    except Exception as error:  # every file system has its own exceptions
        raise _unreachable(location, error) from error
    if info.get("size") != planned.size or etag(info) != planned.etag:
        raise WorkerError(
            Reason.SOURCE_CHANGED,
            f"{location.uri} has changed since the job was planned ({planned.size} bytes then, "
            f"{info.get('size')} now). Restore the file, or start a new job on the new content.",
        )


def _unreachable(location: Location, error: BaseException) -> WorkerError:
    """The error for a file that this node can't read. Another attempt may work elsewhere."""
    return WorkerError(
        Reason.SOURCE_UNREADABLE,
        f"{location.uri} can't be read: {describe(error)}. Check the network and the worker's credentials.",
        exit_code=ExitCode.INTERNAL,
    )
