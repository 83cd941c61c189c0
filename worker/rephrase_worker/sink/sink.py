"""The sink of one shard: takes samples in any order and writes each of them exactly once.

Samples are committed as segments, files that are never changed. When every key of the shard is in a
segment, the segments are merged into one final file per prompt, and the manifest is computed from the
final files. Every file is created only if it is not there yet. So several processes may work on one shard
at once and may be killed at any moment, and all of them end with the same files.

When two processes have sampled the same key, merging takes it from the segment whose name sorts first. A
segment that is committed after the merge changes nothing any more: an existing final file is kept as it is.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_manifest, read_quality
from rephrase_worker.filtered import Keys
from rephrase_worker.manifests import Manifest, PromptAccount
from rephrase_worker.plan import ShardPlan
from rephrase_worker.quality.state import ShardQuality, encode, kept
from rephrase_worker.quality.summary import summaries
from rephrase_worker.samples import Key, Sample, error_code, is_empty, sample_schema, to_table
from rephrase_worker.sink import merge
from rephrase_worker.sink.measuring import CommittedQuality, measure_file
from rephrase_worker.spec import Prompt, PromptQuality, Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.store.location import Location
from rephrase_worker.store.parallel import in_parallel
from rephrase_worker.timeline import CommitNote, Timeline, timeline

_FETCHES = 8
"""Segments that are fetched at once."""


@dataclass(slots=True)
class Totals:
    """Counts of committed samples; each key is counted once."""

    text: int = 0
    empty: int = 0
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
    """Commits the samples of one shard. Use one object in a process for a shard, in one thread at a time."""

    def __init__(self, store: Store, recipe: Recipe, shard: ShardPlan, pod_uid: str) -> None:
        self._store = store
        self._recipe = recipe
        self._shard = shard.shard
        self._schema = sample_schema(shard.columns)
        self._files = {
            path: index for index, path in enumerate(dict.fromkeys(r.file.path for r in shard.ranges))
        }
        # A container that restarts in the same pod has the same uid and counts its segments from 0 again. Its
        # names must differ from those of the first container all the same, because a name that is taken means
        # "already written" to `commit`, and its samples would be lost.
        self._writer = f"{re.sub('[^A-Za-z0-9-]', '-', pod_uid)}-{uuid.uuid4().hex[:8]}"
        self._sequence = 0
        self._quality = CommittedQuality(recipe.prompts)

    def manifest(self) -> Manifest | None:
        """The shard's manifest, if it is finished."""
        try:
            return read_manifest(self._store, layout.manifest(self._shard))
        except FileNotFoundError:
            return None

    def quality(self) -> dict[str, PromptQuality]:
        """What a report says of the texts that `resume` found and `commit` has written, by prompt."""
        return self._quality.summaries()

    def finished_quality(self) -> dict[str, PromptQuality]:
        """The same of a finished shard's texts; empty if a worker of an earlier version has finished it."""
        found = read_quality(self._store, self._shard)
        return {} if found is None else summaries(found.prompts)

    def resume(self) -> Committed:
        """What all processes have committed so far. A key that is there twice is counted once."""
        committed = Committed()
        self._quality = CommittedQuality(self._recipe.prompts)
        for path in self._segments():
            content = self._store.read(path)
            with self._named(path):
                rows = pq.read_table(pa.BufferReader(content), columns=_COUNTED).to_pylist()
            texts = []
            for row in rows:
                key = Key(row["source_file"], row["source_position"], row["prompt"], row["rollout"])
                if key not in committed.keys:
                    committed.keys.add(key)
                    _count(committed.totals, row)
                    if row["text"] is not None:
                        texts.append((key.prompt, row["text"]))
            self._quality.add(texts)
        return committed

    def commit(self, samples: Sequence[Sample], note: CommitNote | None = None) -> None:
        """Makes all of the samples durable, or none. Writes nothing for an empty sequence.

        `note` is kept beside them for the manifest's timeline.
        """
        if not samples:
            return
        first = min((sample.key for sample in samples), key=lambda key: (self._files[key.source_file], key))
        path = layout.segment(
            self._shard, first, self._files[first.source_file], self._writer, self._sequence
        )
        self._sequence += 1
        content = _encode(samples, [prompt.name for prompt in self._recipe.prompts], self._schema, note)
        # No other process uses this name. If it is taken, an earlier attempt at this very commit has worked
        # and only its answer got lost, so there is nothing left to write.
        self._store.create(path, content)
        self._quality.add((sample.prompt, sample.text) for sample in samples if sample.text is not None)

    def finish(self, positions: Sequence[tuple[str, int]]) -> Manifest:
        """Merges the segments into the final files, and writes their quality and the manifest.

        Returns the manifest that won.

        `positions` is every (source_file, source_position) that the reader found in the shard, to its
        end. Raises WorkerError(INTERNAL) when the committed keys are not exactly those.
        """
        finished = self.manifest()
        if finished is not None:
            return finished
        try:
            manifest = self._merged(positions)
        except FileNotFoundError:
            # Another process has finished the shard meanwhile, and finalizing has removed its segments.
            if (finished := self.manifest()) is not None:
                return finished
            raise
        self._store.create(layout.manifest(self._shard), manifest.to_json().encode())
        winner = self.manifest()
        if winner is None:
            raise WorkerError(
                Reason.INTERNAL, f"The manifest of shard {self._shard} was removed while it was written."
            )
        return winner

    def _merged(self, positions: Sequence[tuple[str, int]]) -> Manifest:
        """Creates the final files that are not there and adds up what they hold."""
        expected = merge.expected_keys(positions, self._files, self._recipe.sampling.rollouts)
        with _scratch() as folder:
            self._merge(folder, expected)
            accounts, checksums, quality = {}, {}, {}
            for prompt in self._recipe.prompts:
                committed = self._committed(folder, prompt.name)
                accounts[prompt.name] = self._account(committed, prompt, expected)
                checksums[prompt.name] = merge.checksum(committed)
                with self._named(layout.sample_file(prompt.name, self._shard)):
                    quality[prompt.name] = kept(
                        measure_file(committed, prompt, filtered=accounts[prompt.name].filtered)
                    )
            self._store.create(
                layout.shard_quality(self._shard),
                encode(ShardQuality(recipe_hash=self._recipe.hash, shard=self._shard, prompts=quality)),
            )
            return Manifest(
                recipe_hash=self._recipe.hash,
                shard=self._shard,
                documents=len(positions),
                prompts=accounts,
                checksums=checksums,
                timeline=self._timeline(),
            )

    def _merge(self, folder: Path, expected: Keys) -> None:
        """Creates the final files that are not there."""
        files = {layout.sample_file(prompt.name, self._shard): prompt for prompt in self._recipe.prompts}
        missing = {path: prompt for path, prompt in files.items() if not self._store.exists(path)}
        segments = self._fetch_segments(folder) if missing else []
        merged = folder / "merged"
        for path, prompt in missing.items():
            merge.write_merged(segments, self._files, expected, prompt, merged, self._schema)
            self._store.create_from_file(path, merged)

    def _fetch_segments(self, folder: Path) -> list[Path]:
        """Copies of the segments, in the order of their names."""
        segments = self._segments()
        copies = [folder / f"segment-{number}" for number in range(len(segments))]
        in_parallel(_FETCHES, self._store.fetch, segments, copies)
        for path, copy in zip(segments, copies, strict=True):
            with self._named(path):
                pq.read_metadata(copy)
        return copies

    def _timeline(self) -> Timeline:
        """The work on the shard, from the footers of its segments: merging may have fetched none of them."""
        segments = self._segments()
        found = in_parallel(_FETCHES, self._store.examine, segments, repeat(_note))
        return timeline(note for note in found if note is not None)

    def _committed(self, folder: Path, prompt: str) -> Path:
        """A copy of a final file, read back from the destination: it may be another process's file."""
        committed = folder / "committed"
        self._store.fetch(layout.sample_file(prompt, self._shard), committed)
        return committed

    def _account(self, committed: Path, prompt: Prompt, expected: Keys) -> PromptAccount:
        """The account of the copy of a final file."""
        path = layout.sample_file(prompt.name, self._shard)
        with self._named(path):
            return merge.account(committed, path, self._files, expected, prompt)

    @contextmanager
    def _named(self, path: str) -> Iterator[None]:
        """Turn an error of Arrow's over a file into one that names the file and says what to do."""
        try:
            yield
        except pa.ArrowException as error:
            raise WorkerError(
                Reason.INTERNAL,
                f"{self._store.uri}/{path} is damaged: {error}. This software creates such files whole and "
                "never changes them, so something else did. Remove the file: its samples are made again.",
            ) from error

    def _segments(self) -> list[str]:
        return [
            path for path in self._store.list(layout.segments_dir(self._shard)) if path.endswith(".parquet")
        ]


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for merging. Raises WorkerError(INTERNAL) when its disk is full: no store is to blame then."""
    with tempfile.TemporaryDirectory(prefix="rephrase-merge-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise WorkerError(
                Reason.INTERNAL,
                f"The shard can't be merged in {tempfile.gettempdir()}: {error}. Merging needs about twice "
                "the size of the shard's segments there. Nothing is lost: give workers more scratch space, "
                "and the next one merges.",
            ) from error


def _encode(
    samples: Sequence[Sample], prompts: Sequence[str], schema: pa.Schema, note: CommitNote | None
) -> bytes:
    """The content of a segment. It has one row group for each prompt: merging goes prompt by prompt."""
    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for prompt in prompts:
            if rows := [sample for sample in samples if sample.prompt == prompt]:
                writer.write_table(to_table(rows, schema))
        if note is not None:
            writer.add_key_value_metadata({_NOTE: note.to_json()})
    return bytes(buffer.getvalue())


_NOTE = "rephrase_commit"
"""Key of the note in a segment's metadata."""


def _note(segment: Location) -> CommitNote | None:
    """The note of a segment, if it has one."""
    with segment.open(ahead=False) as file:
        found = (pq.read_metadata(file).metadata or {}).get(_NOTE.encode())
    return None if found is None else CommitNote.model_validate_json(found)


_COUNTED = [
    "source_file",
    "source_position",
    "prompt",
    "rollout",
    "text",
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
        totals.empty += is_empty(str(row["text"]))
    for name in ("prompt_tokens", "cached_prompt_tokens", "output_tokens"):
        setattr(totals, name, getattr(totals, name) + row[name])
