"""Merging segments into a final file, and accounting for it.

Everything is columns: a shard may have millions of rows.
A key is, within one prompt, (index of the file in the plan, position, rollout). Final files are sorted by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rephrase_worker.manifests import PromptAccount, most_frequent_first
from rephrase_worker.samples import SCHEMA, error_code
from rephrase_worker.spec import Reason, WorkerError
from rephrase_worker.store import Store

Keys = npt.NDArray[np.int64]
"""Keys of one prompt, one a row: file index, position, rollout."""

ROW_GROUP_ROWS = 10_000
"""Rows of a row group of the final files: some ten MiB of text."""

_LARGE = pa.schema(
    [field.with_type(pa.large_string()) if field.type == pa.string() else field for field in SCHEMA]
)
"""The schema with 64-bit offsets: the texts of a whole shard may exceed 2 GiB."""


def expected_keys(positions: Sequence[tuple[str, int]], files: Mapping[str, int], rollouts: int) -> Keys:
    """The keys that each prompt must have, sorted."""
    documents = np.array([(files[path], position) for path, position in positions], dtype=np.int64).reshape(
        -1, 2
    )
    documents = documents[np.lexsort((documents[:, 1], documents[:, 0]))]
    repeated = np.repeat(documents, rollouts, axis=0)
    rollout = np.tile(np.arange(rollouts, dtype=np.int64), len(documents))
    return np.column_stack((repeated, rollout))


def write_merged(
    tables: Sequence[pa.Table], files: Mapping[str, int], expected: Keys, prompt: str, target: Path
) -> None:
    """Writes the rows of one prompt, each key once (the first table that has it wins), sorted by key.

    Raises WorkerError(INTERNAL) when the keys are not exactly the expected ones.
    """
    merged = pa.concat_tables([_LARGE.empty_table(), *(table.cast(_LARGE) for table in tables)])
    keys = _keys(merged, files)
    # lexsort is stable, so among equal keys the first table's row stays first.
    order = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    _require(ordered[first], expected, files, f"The segments of prompt {prompt}")
    rows = order[first]
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        for start in range(0, len(rows), ROW_GROUP_ROWS):
            writer.write_table(merged.take(pa.array(rows[start : start + ROW_GROUP_ROWS])).cast(SCHEMA))


def account(store: Store, path: str, files: Mapping[str, int], expected: Keys) -> PromptAccount:
    """The account of a committed final file. Raises WorkerError(INTERNAL) when keys are not as expected."""
    with store.open(path) as file:
        parquet = pq.ParquetFile(pa.PythonFile(file, mode="r"))
        table = parquet.read(columns=_ACCOUNT_COLUMNS)
        text = table.num_rows - _nulls(parquet.metadata, "text")
    _require(_keys(table, files), expected, files, path)
    errors = table.column("error").drop_null().to_pylist()
    if text + len(errors) != table.num_rows:
        raise WorkerError(Reason.INTERNAL, f"{path} has rows with both or neither of text and error.")
    return PromptAccount(
        text=text,
        error=len(errors),
        errors=_frequencies(pa.array(map(error_code, errors), type=pa.string())),
        prompt_tokens=_sum(table, "prompt_tokens"),
        cached_prompt_tokens=_sum(table, "cached_prompt_tokens"),
        output_tokens=_sum(table, "output_tokens"),
        truncated=_sum(table, "truncated"),
        finish_reasons=_frequencies(table.column("finish_reason").drop_null()),
        bytes=store.size(path),
    )


_ACCOUNT_COLUMNS = [
    "source_file",
    "source_position",
    "rollout",
    "error",
    "finish_reason",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
    "truncated",
]


def _nulls(metadata: pq.FileMetaData, name: str) -> int:
    """Nulls in a column, from the footer: the texts themselves are most of the file and need not be read."""
    column = SCHEMA.get_field_index(name)
    groups = (metadata.row_group(group).column(column).statistics for group in range(metadata.num_row_groups))
    return sum(statistics.null_count for statistics in groups)


def _keys(table: pa.Table, files: Mapping[str, int]) -> Keys:
    known = pa.array(list(files), type=pa.string())
    indexes = pc.index_in(table.column("source_file").cast(pa.string()), value_set=known).fill_null(-1)
    columns = (indexes, table.column("source_position"), table.column("rollout"))
    return np.column_stack([column.to_numpy().astype(np.int64) for column in columns])


def _require(found: Keys, expected: Keys, files: Mapping[str, int], where: str) -> None:
    """Both sorted and without duplicates."""
    if np.array_equal(found, expected):
        return
    names = list(files)
    found_set, expected_set = set(map(tuple, found.tolist())), set(map(tuple, expected.tolist()))
    missing, surplus = sorted(expected_set - found_set), sorted(found_set - expected_set)
    problem = f"{len(missing)} keys missing, {len(surplus)} too many"
    for word, keys in (("missing", missing), ("too many", surplus)):
        if keys:
            file, position, rollout = keys[0]
            name = names[file] if file >= 0 else "(a file that is not in the shard)"
            problem += f"; first {word}: {name} position {position} rollout {rollout}"
    raise WorkerError(Reason.INTERNAL, f"{where}: the keys are not those of the shard: {problem}.")


def _sum(table: pa.Table, name: str) -> int:
    return int(pc.sum(table.column(name)).as_py() or 0)


def _frequencies(values: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}
    return most_frequent_first(counts)
