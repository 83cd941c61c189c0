"""Merges segments into a final file and computes the account of it.

A shard may have millions of rows, so rows are handled as columns of Arrow and numpy and not one by one. All
files here are local copies: the worker holds its GPU until the shard is merged, so the sink fetches each
segment once for all prompts. Within one prompt a key is (index of the file in the plan, position, rollout);
final files are sorted by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rephrase_worker.filtered import Filtered, Keys, from_metadata, to_metadata
from rephrase_worker.manifests import PromptAccount, most_frequent_first
from rephrase_worker.quality import structure
from rephrase_worker.samples import SCHEMA, error_code, is_empty
from rephrase_worker.spec import Prompt, Reason, WorkerError

ROW_GROUP_ROWS = 10_000
"""Rows of a row group of the final files: some ten MiB of text."""

SEGMENTS_IN_MEMORY = 4
"""Decoded segments that are kept while merging. Each segment holds what finished within one interval, so the
segments are nearly in the order of the final file, and a row group needs few of them."""

_KEY_COLUMNS = ["source_file", "source_position", "rollout"]


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
    segments: Sequence[Path],
    files: Mapping[str, int],
    expected: Keys,
    prompt: Prompt,
    target: Path,
    schema: pa.Schema,
) -> None:
    """Writes the rows of one prompt, each key once (the first segment that has it wins), sorted by key.

    A prompt that drops outputs without its structure gets no rows of them, and their keys are noted in the
    file's metadata.

    Memory holds the keys of all rows, and the texts of a few segments and one row group. Raises
    WorkerError(INTERNAL) when the keys are not exactly the expected ones.
    """
    found = [_keys(_read(path, prompt.name, _KEY_COLUMNS), files) for path in segments]
    keys = np.concatenate([np.empty((0, 3), dtype=np.int64), *found])
    lengths = [len(each) for each in found]
    places = np.column_stack(
        (
            np.repeat(np.arange(len(found)), lengths),
            np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(length) for length in lengths)]),
        )
    )
    # Twins may have sampled the same key twice. lexsort is stable, so of equal keys the one from the first
    # segment comes first, and it is the one that is kept.
    order = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    _require(ordered[first], expected, files, f"The segments of prompt {prompt.name}")
    rows = places[order[first]]
    decoded = lru_cache(SEGMENTS_IN_MEMORY)(
        lambda segment: _read(segments[segment], prompt.name, schema.names)
    )
    keeps: list[npt.NDArray[np.bool_]] = [np.empty(0, dtype=bool)]
    tokens = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for start in range(0, len(rows), ROW_GROUP_ROWS):
            table = _gather(rows[start : start + ROW_GROUP_ROWS], decoded, schema)
            if prompt.drops:
                keeps.append(_kept(table, prompt))
                tokens += _sum(table.filter(pa.array(~keeps[-1])), "output_tokens")
                table = table.filter(pa.array(keeps[-1]))
            if table.num_rows:
                writer.write_table(table)
        if prompt.drops:
            writer.add_key_value_metadata(
                to_metadata(Filtered(expected[~np.concatenate(keeps)], output_tokens=tokens))
            )


def _kept(rows: pa.Table, prompt: Prompt) -> npt.NDArray[np.bool_]:
    """Which rows stay: those with an error, and those whose text has the prompt's structure."""
    assert prompt.structure is not None
    texts = rows.column("text").to_pylist()
    return np.array([text is None or structure.holds(prompt.structure, text) for text in texts], dtype=bool)


def _gather(rows: npt.NDArray[np.int64], decoded: Callable[[int], pa.Table], schema: pa.Schema) -> pa.Table:
    """The given rows in the given order. A row is the number of its segment and its place in there."""
    by_segment = np.argsort(rows[:, 0], kind="stable")
    segments, starts = np.unique(rows[by_segment, 0], return_index=True)
    pieces = [
        decoded(int(segment)).take(pa.array(rows[chosen, 1]))
        for segment, chosen in zip(segments, np.split(by_segment, starts[1:]), strict=True)
    ]
    return pa.concat_tables(pieces).take(pa.array(np.argsort(by_segment, kind="stable"))).cast(schema)


def _read(path: Path, prompt: str, columns: Sequence[str]) -> pa.Table:
    """The rows of one prompt in a segment, in the segment's order."""
    with pq.ParquetFile(path) as segment:
        place = segment.schema_arrow.get_field_index("prompt")
        groups = [
            group
            for group in range(segment.num_row_groups)
            if _may_hold(segment.metadata.row_group(group), place, prompt)
        ]
        table = segment.read_row_groups(groups, columns=[*dict.fromkeys([*columns, "prompt"])])
    for name in set(columns) - set(table.column_names):  # A worker of an earlier version did not write it.
        table = table.append_column(SCHEMA.field(name), pa.nulls(len(table), SCHEMA.field(name).type))
    return table.filter(pc.equal(table.column("prompt"), prompt)).select(columns)


def _may_hold(group: pq.RowGroupMetaData, place: int, prompt: str) -> bool:
    """Whether the prompt, which is in the column at this place, may have rows in the group.

    A segment has one row group for each prompt, so its statistics say which group to read, and the texts of
    the other prompts are neither read nor decompressed.
    """
    statistics = group.column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= prompt <= statistics.max)


def account(path: Path, name: str, files: Mapping[str, int], expected: Keys, prompt: Prompt) -> PromptAccount:
    """The account of a committed final file: `path` is a copy of it, `name` how it is called in errors.

    Raises WorkerError(INTERNAL) when rows and outputs that are left out are not together the expected keys.
    """
    with pq.ParquetFile(path) as file:
        filtered = _filtered(file, name, prompt)
        table = file.read(columns=_ACCOUNT_COLUMNS)
        text = empty = memory = 0
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            memory += rows.nbytes
            texts = rows.column("text").drop_null().to_pylist()
            text += len(texts)
            empty += sum(map(is_empty, texts))
    _require(_merged(_keys(table, files), filtered.keys), expected, files, name)
    errors = table.column("error").drop_null().to_pylist()
    if text + len(errors) != table.num_rows:
        raise WorkerError(Reason.INTERNAL, f"{name} has rows with both or neither of text and error.")
    return PromptAccount(
        text=text,
        empty=empty,
        error=len(errors),
        filtered=len(filtered.keys),
        filtered_output_tokens=filtered.output_tokens,
        errors=_frequencies(pa.array(map(error_code, errors), type=pa.string())),
        prompt_tokens=_sum(table, "prompt_tokens"),
        cached_prompt_tokens=_sum(table, "cached_prompt_tokens"),
        output_tokens=_sum(table, "output_tokens"),
        truncated=_sum(table, "truncated"),
        finish_reasons=_frequencies(table.column("finish_reason").drop_null()),
        bytes=path.stat().st_size,
        memory_bytes=memory,
    )


def _filtered(file: pq.ParquetFile, name: str, prompt: Prompt) -> Filtered:
    """What the file says that it leaves out.

    Raises WorkerError(INTERNAL) if it may not leave outputs out, or does not say which.
    """
    try:
        found = from_metadata(file.metadata.metadata)
    except ValueError as error:
        raise WorkerError(
            Reason.INTERNAL,
            f"{name} is damaged: {error}. Remove the file: it is merged again from its segments.",
        ) from error
    if prompt.drops != (found is not None):
        says = "does not say which outputs it leaves out" if prompt.drops else "leaves outputs out"
        raise WorkerError(
            Reason.INTERNAL,
            f"{name} {says}, and prompt {prompt.name} has unstructured: {prompt.unstructured}.",
        )
    return found or Filtered()


def _merged(rows: Keys, filtered: Keys) -> Keys:
    """Both in one order, where each of them is sorted. A key of both is there twice."""
    if not len(filtered):
        return rows
    keys = np.concatenate((rows, filtered))
    order = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0]))
    for part in (order < len(rows), order >= len(rows)):
        if np.any(np.diff(order[part]) < 0):
            return keys  # One of them is not sorted, and neither is this, so it is not what anybody expects.
    merged: Keys = keys[order]
    return merged


def checksum(path: Path) -> str:
    """SHA-256 of the file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_ACCOUNT_COLUMNS = [
    *_KEY_COLUMNS,
    "error",
    "finish_reason",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
    "truncated",
]


def _keys(table: pa.Table, files: Mapping[str, int]) -> Keys:
    known = pa.array(list(files), type=pa.string())
    indexes = pc.index_in(table.column("source_file").cast(pa.string()), value_set=known).fill_null(-1)
    columns = (indexes, table.column("source_position"), table.column("rollout"))
    return np.column_stack([column.to_numpy().astype(np.int64) for column in columns])


def _require(found: Keys, expected: Keys, files: Mapping[str, int], where: str) -> None:
    """Raise WorkerError(INTERNAL) unless the two are equal. Both have to be sorted and free of duplicates."""
    if np.array_equal(found, expected):
        return
    names = list(files)
    found_set, expected_set = set(map(tuple, found.tolist())), set(map(tuple, expected.tolist()))
    missing, surplus = sorted(expected_set - found_set), sorted(found_set - expected_set)
    problem = f"{len(missing)} keys missing, {len(surplus)} too many"
    if again := len(found) - len(found_set):
        problem += f", {again} there again"
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
