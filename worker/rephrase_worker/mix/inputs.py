"""Reads what a shard of the mix is made from: rows of final files, and original documents.

Rows with an error and without any text are counted and left out here. A file that is not the one that was
planned ends the shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pyarrow.parquet as pq

from rephrase_worker.mix.keys import Keyed
from rephrase_worker.mix.rows import Batch
from rephrase_worker.mixes import OriginalBlock, OutputRows
from rephrase_worker.plan import ShardPlan
from rephrase_worker.samples import is_empty
from rephrase_worker.source.opened import BrokenFileError, UnreachableFileError, watched
from rephrase_worker.source.parquet import open_parquet
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import ExitCode, Reason, Source, WorkerError
from rephrase_worker.store.location import Location

BATCH_ROWS = 512
"""Rows that are tokenized at a time."""

_COLUMNS = ["id", "source_file", "source_position", "rollout", "text"]


class OutputReader:
    """Reads rows of the dataset at a location."""

    def __init__(self, dataset: Location, keyed: Keyed) -> None:
        self._dataset = dataset
        self._keyed = keyed
        self.errors: Counter[str] = Counter()
        """Rows read so far that hold an error, by prompt."""
        self.empty: Counter[str] = Counter()
        """Rows read so far that hold an empty text, by prompt."""

    def batches(self, runs: Sequence[OutputRows]) -> Iterator[Batch]:
        """The texts, in order; each file is opened once."""
        for path, group in groupby(runs, key=lambda run: run.path):
            yield from self._file(path, list(group))

    def _file(self, path: str, runs: list[OutputRows]) -> Iterator[Batch]:
        location = self._dataset / path
        _require_size(location, runs[0].bytes)
        try:
            with watched(location, runs[0].bytes) as content, open_parquet(content) as file:
                for run in runs:
                    yield from self._run(file, run)
        except BrokenFileError as error:
            raise _changed(location, f"can't be decoded: {error}") from error
        except UnreachableFileError as error:
            raise _unreachable(location, error) from error

    def _run(self, file: pq.ParquetFile, run: OutputRows) -> Iterator[Batch]:
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            if last > run.start and first < run.end:
                position = first
                for table in file.iter_batches(
                    BATCH_ROWS, row_groups=[group], columns=_COLUMNS, use_threads=False
                ):
                    start, stop = max(0, run.start - position), min(table.num_rows, run.end - position)
                    position += table.num_rows
                    if start < stop:
                        yield self._batch(run.prompt, table.slice(start, stop - start).to_pylist())
            first = last

    def _batch(self, prompt: str, rows: list[dict[str, Any]]) -> Batch:
        batch = Batch("synthetic", prompt)
        for row in rows:
            text, file, position, rollout = (
                row[name] for name in ("text", "source_file", "source_position", "rollout")
            )
            if text is None:
                self.errors[prompt] += 1
            elif is_empty(text):
                self.empty[prompt] += 1
            else:
                key = self._keyed.of("output", prompt, file, position, rollout)
                batch.add(text, file, position, rollout, id_=row["id"], key=key)
        return batch


class OriginalReader:
    """Reads original documents below a root."""

    def __init__(self, root: str, source: Source, keyed: Keyed) -> None:
        self._root = root
        self._source = source
        self._keyed = keyed
        self.errors: Counter[str] = Counter()
        """Documents read so far that have no text, by code."""

    def batches(self, blocks: Sequence[OriginalBlock]) -> Iterator[Batch]:
        """The texts of the blocks, file by file. A compressed file is read once for all of its blocks."""
        ordered = sorted(blocks, key=lambda block: (block.range.file.path, block.range.start))
        for _, group in groupby(ordered, key=lambda block: block.range):
            yield from self._range(list(group))

    def _range(self, blocks: list[OriginalBlock]) -> Iterator[Batch]:
        parts, wanted = blocks[0].parts, {block.part for block in blocks}
        plan = ShardPlan(
            shard=0, root=self._root, ranges=[blocks[0].range], documents=0, documents_exact=False
        )
        batch = Batch("original", None)
        for document in ShardReader(plan, self._source).run():
            file, position = document.metadata["source_file"], document.metadata["source_position"]
            key = self._keyed.of("original", file, position)
            if key % parts not in wanted:
                continue
            if "error" in document.metadata:
                self.errors[document.metadata["error"].partition(":")[0]] += 1
                continue
            batch.add(document.text, file, position, None, id_=document.id, key=key)
            if len(batch.texts) == BATCH_ROWS:
                yield batch
                batch = Batch("original", None)
        yield batch


def _require_size(location: Location, planned: int) -> None:
    try:
        size = location.info().get("size")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _changed(location, "is gone") from error
    except Exception as error:  # every file system has its own exceptions
        raise _unreachable(location, UnreachableFileError(error)) from error
    if size != planned:
        raise _changed(location, f"had {planned} bytes and has {size} now")


def _changed(location: Location, what: str) -> WorkerError:
    return WorkerError(
        Reason.SOURCE_CHANGED,
        f"{location.uri} {what}. The dataset was finished when its mix was planned, and nothing of this "
        "software changes it afterwards. Restore the file, or mix the dataset anew into another output.",
    )


def _unreachable(location: Location, error: UnreachableFileError) -> WorkerError:
    return WorkerError(
        Reason.SOURCE_UNREADABLE,
        f"{location.uri} can't be read: {error}. Check the network and the worker's credentials.",
        exit_code=ExitCode.INTERNAL,
    )
