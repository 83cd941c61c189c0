"""Reads of a final file what a recount needs: as little as the depth allows, a row group at a time."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rephrase_worker.filtered import Filtered, from_metadata
from rephrase_worker.manifests import PromptAccount, most_frequent_first
from rephrase_worker.samples import error_code, is_empty
from rephrase_worker.source.opened import BrokenFileError, UnreachableFileError, WatchedFile, watched
from rephrase_worker.store import Store
from rephrase_worker.store.location import Location
from rephrase_worker.verify.faults import Depth
from rephrase_worker.verify.positions import Keys

CONSTANT = ("prompt", "prompt_hash", "model", "revision")
"""Columns in which all rows of a file have one value."""

_SUMMED = ("prompt_tokens", "cached_prompt_tokens", "output_tokens", "truncated")
_KEYS = ("source_file", "source_position", "rollout")


@dataclass
class FileFigures:
    """What a final file holds."""

    size: int
    schema: pa.Schema
    rows: int
    text: int
    error: int
    """Rows with a text, and rows with an error."""
    filtered: Filtered | None = None
    """What the file says that it leaves out; None if it says nothing."""
    confused: int = 0
    """Rows with both or neither: more than one is only known of a row group."""
    constants: dict[str, set[str | None]] = field(default_factory=dict)
    """Values of `CONSTANT` columns. From footers: the smallest and the greatest."""
    keys: Keys | None = None
    """None where only the footer was read."""
    account: PromptAccount | None = None
    """Recounted from the rows. `empty` and `memory_bytes` are 0 unless texts were read."""
    checksum: str | None = None


def read(
    store: Store, path: str, size: int, depth: Depth, files: Mapping[str, int]
) -> FileFigures | BrokenFileError:
    """The figures of a final file, or why it can't be decoded.

    Raises FileNotFoundError, and WorkerError when the store fails.
    """
    if depth is Depth.CONTENT:
        with tempfile.NamedTemporaryFile(prefix="rephrase-verify-") as copy:
            store.fetch(path, Path(copy.name))
            return _read(Location.parse(copy.name), size, depth, files)
    return store.examine(path, lambda location: _read(location, size, depth, files))


def _read(
    location: Location, size: int, depth: Depth, files: Mapping[str, int]
) -> FileFigures | BrokenFileError:
    try:
        with watched(location, size, ahead=False) as file:
            figures = _figures(file, size, depth, files)
            if depth is Depth.CONTENT:
                file.seek(0)
                figures.checksum = hashlib.file_digest(file, "sha256").hexdigest()
            return figures
    except UnreachableFileError as error:
        raise error.cause from error
    except BrokenFileError as error:
        return error


def _figures(file: WatchedFile, size: int, depth: Depth, files: Mapping[str, int]) -> FileFigures:
    parquet = pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
    schema = parquet.schema_arrow
    figures = FileFigures(size=size, schema=schema, rows=parquet.metadata.num_rows, text=0, error=0)
    try:
        figures.filtered = from_metadata(parquet.metadata.metadata)
    except ValueError as error:
        raise BrokenFileError(f"its metadata can't be read: {error}") from error
    for name in {*_KEYS, *_SUMMED, *CONSTANT, "text", "error", "finish_reason"} - set(schema.names):
        raise BrokenFileError(f"it has no column {name}")
    if depth is Depth.QUICK:
        _from_footer(parquet, figures)
    else:
        _from_rows(parquet, figures, depth, files)
    return figures


def _from_footer(parquet: pq.ParquetFile, figures: FileFigures) -> None:
    """Counts nulls by the statistics of row groups, or by the column where a file has none."""
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        text, error = (rows - _nulls(parquet, group, name) for name in ("text", "error"))
        figures.text += text
        figures.error += error
        figures.confused += abs(rows - text - error)
        for name in CONSTANT:
            column = _column(parquet, group, name).statistics
            if column is not None and column.has_min_max:
                figures.constants.setdefault(name, set()).update((column.min, column.max))


def _from_rows(parquet: pq.ParquetFile, figures: FileFigures, depth: Depth, files: Mapping[str, int]) -> None:
    columns = [*_KEYS, *CONSTANT, *_SUMMED, "error", "finish_reason"]
    if depth is Depth.CONTENT:
        columns = parquet.schema_arrow.names
    keys: list[Keys] = []
    errors: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for group in range(parquet.num_row_groups):
        table = parquet.read_row_group(group, columns=columns, use_threads=False)
        keys.append(_keys(table, files))
        failed = table.column("error").drop_null()
        errors.update(map(error_code, failed.to_pylist()))
        reasons.update(_frequencies(table.column("finish_reason").drop_null()))
        for name in _SUMMED:
            sums[name] += int(pc.sum(table.column(name)).as_py() or 0)
        for name in CONSTANT:
            figures.constants.setdefault(name, set()).update(table.column(name).unique().to_pylist())
        if depth is Depth.CONTENT:
            sums["memory_bytes"] += table.nbytes
            texts = table.column("text")
            sums["empty"] += sum(map(is_empty, texts.drop_null().to_pylist()))
            both = pc.equal(texts.is_valid(), table.column("error").is_valid())
            figures.confused += int(pc.sum(both).as_py() or 0)
            text = len(texts) - texts.null_count
        else:
            text = table.num_rows - _nulls(parquet, group, "text")
            figures.confused += abs(table.num_rows - text - len(failed))
        figures.text += text
        figures.error += len(failed)
    figures.rows = sum(map(len, keys))
    figures.keys = np.concatenate([np.empty((0, 3), dtype=np.int64), *keys])
    figures.account = PromptAccount(
        text=figures.text,
        error=figures.error,
        errors=most_frequent_first(dict(errors)),
        finish_reasons=most_frequent_first(dict(reasons)),
        bytes=figures.size,
        **{name: sums[name] for name in (*_SUMMED, "empty", "memory_bytes")},
    )


def _column(parquet: pq.ParquetFile, group: int, name: str) -> pq.ColumnChunkMetaData:
    return parquet.metadata.row_group(group).column(parquet.schema_arrow.get_field_index(name))


def _nulls(parquet: pq.ParquetFile, group: int, name: str) -> int:
    statistics = _column(parquet, group, name).statistics
    if statistics is not None and statistics.has_null_count:
        return int(statistics.null_count)
    return int(parquet.read_row_group(group, columns=[name], use_threads=False).column(name).null_count)


def _keys(table: pa.Table, files: Mapping[str, int]) -> Keys:
    """The keys of the rows; -1 for a source file that is none of `files`."""
    known = pa.array(list(files), type=pa.string())
    numbers = pc.index_in(table.column("source_file").cast(pa.string()), value_set=known).fill_null(-1)
    columns: Sequence[pa.ChunkedArray] = (numbers, *(table.column(name) for name in _KEYS[1:]))
    return np.column_stack([column.fill_null(-1).to_numpy().astype(np.int64) for column in columns])


def _frequencies(values: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}
