"""Rows on the local disk between reading and writing, and their shuffle.

How often a row is used is known only when all rows of its shard are counted, and a shuffle needs all of them
too. A shard can be larger than memory, so its rows wait on disk: first in the order in which they were read,
then scattered over buckets by the upper bits of their random numbers. Each bucket fits into memory and is
sorted there. One bucket after the other, that is the order of the random numbers: a random permutation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker.mix.keys import Keys, repeated
from rephrase_worker.mix.rows import SCHEMA, SPOOLED, Batch

BUCKET_TOKENS = 16_000_000
"""Tokens of a bucket: some 70 MB of text. A bucket becomes a row group."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
_ORDER = "order"

Counts = npt.NDArray[np.int64]


class Spool:
    """The rows of one side in the order in which they are read. A context manager around the writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: list[Keys] = []
        self._tokens: list[Counts] = []
        self._prompts: list[tuple[str | None, int]] = []
        self._writer = pa.ipc.new_stream(str(path), SPOOLED, options=_OPTIONS)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, batch: Batch, tokens: Sequence[int]) -> None:
        """Append the rows."""
        if batch.texts:
            self._writer.write_batch(batch.to_arrow(tokens))
            self._keys.append(np.array(batch.keys, dtype=np.uint64))
            self._tokens.append(np.array(tokens, dtype=np.int64))
            self._prompts.append((batch.prompt, len(batch.texts)))

    @property
    def keys(self) -> Keys:
        """Keys of all rows."""
        return np.concatenate([np.empty(0, dtype=np.uint64), *self._keys])

    @property
    def tokens(self) -> Counts:
        """Tokens of all rows."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._tokens])

    def of_prompt(self, name: str | None) -> npt.NDArray[np.bool_]:
        """Which rows are a prompt's."""
        marks = [np.full(count, prompt == name) for prompt, count in self._prompts]
        return np.concatenate([np.empty(0, dtype=np.bool_), *marks])

    def read(self) -> Iterator[pa.RecordBatch]:
        """The rows again."""
        with pa.ipc.open_stream(str(self._path)) as reader:
            yield from reader


def write_shuffled(sides: Sequence[tuple[Spool, Counts]], target: Path, scratch: Path) -> None:
    """Write every row of the spools as often as its count says, all in random order."""
    tokens = sum(int((spool.tokens * times).sum()) for spool, times in sides)
    bits = max(0, math.ceil(math.log2(max(1, tokens / BUCKET_TOKENS))))
    buckets = [scratch / f"bucket-{number}" for number in range(2**bits)]
    _scatter(sides, buckets, bits)
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        for bucket in buckets:
            with pa.ipc.open_stream(str(bucket)) as reader:
                rows = reader.read_all()
            order = np.argsort(rows.column(_ORDER).to_numpy(), kind="stable")
            if len(order):
                table = rows.take(pa.array(order)).select(SCHEMA.names).cast(SCHEMA)
                writer.write_table(table, row_group_size=max(1, len(order)))
            bucket.unlink()


def _scatter(sides: Sequence[tuple[Spool, Counts]], buckets: Sequence[Path], bits: int) -> None:
    schema = SPOOLED.append(pa.field("repetition", pa.int32())).append(pa.field(_ORDER, pa.uint64()))
    with ExitStack() as stack:
        writers = [
            stack.enter_context(pa.ipc.new_stream(str(bucket), schema, options=_OPTIONS))
            for bucket in buckets
        ]
        for spool, times in sides:
            first = 0
            for batch in spool.read():
                used = times[first : first + batch.num_rows]
                first += batch.num_rows
                for repetition in range(int(used.max(initial=0))):
                    rows = np.flatnonzero(used > repetition)
                    order = repeated(batch.column("key").to_numpy()[rows], repetition)
                    taken = batch.take(pa.array(rows))
                    columns = [
                        *taken.columns,
                        pa.array(np.full(len(rows), repetition, dtype=np.int32)),
                        pa.array(order),
                    ]
                    full = pa.RecordBatch.from_arrays(columns, schema=schema)
                    number = (order >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(rows))
                    for bucket in np.unique(number):
                        chosen = np.flatnonzero(number == bucket)
                        writers[int(bucket)].write_batch(full.take(pa.array(chosen)))
