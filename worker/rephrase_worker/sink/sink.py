"""The sink of one shard: samples go in at any time and in any order, and come out exactly once.

Samples are committed as segments, which nobody ever changes. When every key of the shard is there,
the segments are merged into one final file per prompt, and the manifest is computed from those files.
All of it is create-if-absent: several processes may work on one shard at once, may be killed anywhere,
and end with the same files. Where two have sampled the same key, the segment whose name sorts first
wins, until a final file says otherwise; after that the final file is what counts.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_manifest
from rephrase_worker.manifests import Manifest
from rephrase_worker.plan import ShardPlan
from rephrase_worker.samples import Key, Sample, error_code, to_table
from rephrase_worker.sink import merge
from rephrase_worker.spec import Reason, Recipe, WorkerError
from rephrase_worker.store import Store


@dataclass(slots=True)
class Totals:
    """Counts over committed samples, each key once."""

    text: int = 0
    error: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    output_tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Committed:
    """What the shard's segments hold."""

    keys: set[Key] = field(default_factory=set)
    totals: Totals = field(default_factory=Totals)


class ShardSink:
    """Commits the samples of one shard. One object a process and shard; not for several threads at once."""

    def __init__(self, store: Store, recipe: Recipe, shard: ShardPlan, pod_uid: str) -> None:
        self._store = store
        self._recipe = recipe
        self._shard = shard.shard
        self._files = {
            path: index for index, path in enumerate(dict.fromkeys(r.file.path for r in shard.ranges))
        }
        # A container that restarts in the same pod must not meet its predecessor's segment names.
        self._writer = f"{re.sub('[^A-Za-z0-9-]', '-', pod_uid)}-{uuid.uuid4().hex[:8]}"
        self._sequence = 0

    def manifest(self) -> Manifest | None:
        """The shard's manifest, if it is finished."""
        try:
            return read_manifest(self._store, layout.manifest(self._shard))
        except FileNotFoundError:
            return None

    def resume(self) -> Committed:
        """What has been committed by anybody. Duplicate keys are counted once."""
        committed = Committed()
        for path in self._segments():
            for row in self._read_segment(path, _COUNTED_COLUMNS).to_pylist():
                key = Key(row["source_file"], row["source_position"], row["prompt"], row["rollout"])
                if key not in committed.keys:
                    committed.keys.add(key)
                    _count(committed.totals, row)
        return committed

    def commit(self, samples: Sequence[Sample]) -> None:
        """Makes the samples durable, all or none. An empty sequence is no commit."""
        if not samples:
            return
        first = min((sample.key for sample in samples), key=lambda key: (self._files[key.source_file], key))
        path = layout.segment(
            self._shard, first, self._files[first.source_file], self._writer, self._sequence
        )
        self._sequence += 1
        buffer = pa.BufferOutputStream()
        pq.write_table(to_table(samples), buffer, compression="zstd")
        # The name is this writer's own: if it is taken, an answer got lost and the commit was made.
        self._store.create(path, buffer.getvalue().to_pybytes())

    def finish(self, positions: Sequence[tuple[str, int]]) -> Manifest:
        """Merges the segments into the final files and writes the manifest. Returns the manifest that won.

        `positions` is every (source_file, source_position) that the reader found in the shard, to its
        end. Raises WorkerError(INTERNAL) when the committed keys are not exactly those.
        """
        finished = self.manifest()
        if finished is not None:
            return finished
        expected = merge.expected_keys(positions, self._files, self._recipe.sampling.rollouts)
        for prompt in self._recipe.prompts:
            path = layout.sample_file(prompt.name, self._shard)
            if not self._store.exists(path):
                self._merge(prompt.name, path, expected)
        manifest = Manifest(
            recipe_hash=self._recipe.hash,
            shard=self._shard,
            documents=len(positions),
            prompts={
                prompt.name: merge.account(
                    self._store, layout.sample_file(prompt.name, self._shard), self._files, expected
                )
                for prompt in self._recipe.prompts
            },
        )
        self._store.create(layout.manifest(self._shard), manifest.to_json().encode())
        winner = self.manifest()
        if winner is None:
            raise WorkerError(
                Reason.INTERNAL, f"The manifest of shard {self._shard} was removed while it was written."
            )
        return winner

    def _merge(self, prompt: str, path: str, expected: merge.Keys) -> None:
        tables = [
            self._read_segment(segment, None, filters=[("prompt", "==", prompt)])
            for segment in self._segments()
        ]
        with tempfile.TemporaryDirectory(prefix="rephrase-merge-") as folder:
            local = Path(folder) / "merged.parquet"
            merge.write_merged(tables, self._files, expected, prompt, local)
            self._store.create_from_file(path, local)

    def _segments(self) -> list[str]:
        return [
            path for path in self._store.list(layout.segments_dir(self._shard)) if path.endswith(".parquet")
        ]

    def _read_segment(
        self, path: str, columns: list[str] | None, filters: list[tuple[str, str, str]] | None = None
    ) -> pa.Table:
        content = pa.BufferReader(self._store.read(path))
        return pq.read_table(content, columns=columns, filters=filters)


_COUNTED_COLUMNS = [
    "source_file",
    "source_position",
    "prompt",
    "rollout",
    "error",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
]


def _count(totals: Totals, row: dict[str, object]) -> None:
    error = row["error"]
    if isinstance(error, str):
        totals.error += 1
        totals.errors[error_code(error)] += 1
    else:
        totals.text += 1
    for name in ("prompt_tokens", "cached_prompt_tokens", "output_tokens"):
        setattr(totals, name, getattr(totals, name) + row[name])
