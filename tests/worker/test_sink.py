from __future__ import annotations

import dataclasses
import errno
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_worker import layout
from rephrase_worker.manifests import Manifest
from rephrase_worker.planner import planner
from rephrase_worker.samples import SCHEMA, Key, Sample
from rephrase_worker.sink import ShardSink, merge
from rephrase_worker.spec import ExitCode, Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import (
    final_rows,
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_jsonl,
    write_parquet,
)


class OneShard:
    """A planned job of one shard, and everything that belongs in it."""

    def __init__(self, folder: Path, *, prompts: Sequence[str] = ("faq", "math"), rollouts: int = 2) -> None:
        write_parquet(folder / "in" / "b.parquet", ["text", None, "more text", ""])
        write_jsonl(folder / "in" / "a.jsonl", ["ä", 3, "c"])
        self.recipe: Recipe = make_recipe(folder / "in", folder / "out", prompts=prompts, rollouts=rollouts)
        planner.plan(self.recipe)
        (self.plan,) = shard_plans(self.recipe)
        documents = read_documents(self.recipe, self.plan)
        self.positions = positions(documents)
        self.samples = samples_of(self.recipe, documents)
        self.store = Store(self.recipe.output.uri)

    def sink(self, pod_uid: str = "pod") -> ShardSink:
        return ShardSink(self.store, self.recipe, self.plan, pod_uid)


@pytest.fixture
def one(tmp_path: Path) -> OneShard:
    return OneShard(tmp_path)


def test_a_shard_ends_as_one_sorted_file_per_prompt(one: OneShard) -> None:
    sink = one.sink()
    assert sink.manifest() is None
    for sample in reversed(one.samples):
        sink.commit([sample])
    sink.finish(one.positions)
    for prompt in ("faq", "math"):
        rows = final_rows(one.recipe, 0, prompt)
        keys = [(row["source_file"], row["source_position"], row["rollout"]) for row in rows]
        assert keys == [(file, position, rollout) for file, position in one.positions for rollout in (0, 1)]
        assert all(row["prompt"] == prompt for row in rows)
        assert all((row["text"] is None) == (row["error"] is not None) for row in rows)


def test_the_manifest_tells_what_the_files_hold(one: OneShard) -> None:
    sink = one.sink()
    sink.commit(one.samples)
    manifest = sink.finish(one.positions)
    assert manifest == sink.manifest()
    assert (manifest.shard, manifest.documents, manifest.recipe_hash) == (0, 7, one.recipe.hash)
    faq = manifest.prompts["faq"]
    assert (faq.text, faq.error) == (8, 6)
    assert faq.errors == {"empty_text": 2, "missing_text": 2, "text_not_string": 2}
    assert (faq.prompt_tokens, faq.cached_prompt_tokens, faq.output_tokens) == (80, 32, 40)
    assert faq.finish_reasons == {"stop": 8}
    assert faq.bytes == one.store.size("faq/shard-00000.parquet")


def test_resuming_finds_what_was_committed_and_counts_duplicates_once(one: OneShard) -> None:
    assert one.sink().resume().keys == set()
    one.sink("first").commit(one.samples[:10])
    one.sink("second").commit(one.samples[6:14])
    committed = one.sink().resume()
    assert committed.keys == {sample.key for sample in one.samples[:14]}
    texts = [sample for sample in one.samples[:14] if sample.text is not None]
    totals = committed.totals
    assert (totals.text, totals.error) == (len(texts), 14 - len(texts))
    assert (totals.prompt_tokens, totals.cached_prompt_tokens, totals.output_tokens) == (
        10 * len(texts),
        4 * len(texts),
        5 * len(texts),
    )
    assert totals.errors.total() == totals.error


def test_an_empty_commit_writes_nothing(one: OneShard) -> None:
    one.sink().commit([])
    assert one.store.list(layout.segments_dir(0)) == []


def test_a_container_that_restarts_in_its_pod_does_not_meet_its_old_names(one: OneShard) -> None:
    for sample in one.samples:
        one.sink("same-pod").commit([sample])
    assert one.sink().resume().keys == {sample.key for sample in one.samples}


def test_finishing_without_every_key_is_refused_and_names_what_is_missing(one: OneShard) -> None:
    sink = one.sink()
    sink.commit(one.samples[:-1])
    with pytest.raises(WorkerError) as caught:
        sink.finish(one.positions)
    assert caught.value.failure.reason is Reason.INTERNAL
    last = one.samples[-1]
    named = f"{last.source_file} position {last.source_position} rollout {last.rollout}"
    assert f"1 keys missing, 0 too many; first missing: {named}" in caught.value.failure.message
    assert sink.manifest() is None


def test_keys_that_the_reader_did_not_find_are_refused(one: OneShard) -> None:
    sink = one.sink()
    sink.commit(one.samples)
    with pytest.raises(WorkerError, match=r"first too many: b\.parquet position 3"):
        sink.finish(one.positions[:-1])


def test_a_finished_shard_stays_as_it_is(one: OneShard) -> None:
    sink = one.sink()
    sink.commit(one.samples)
    manifest = sink.finish(one.positions)
    rows = final_rows(one.recipe, 0, "faq")
    late = one.sink("late")
    late.commit(_with_text(one.samples, "late"))
    assert late.finish(one.positions) == manifest
    assert final_rows(one.recipe, 0, "faq") == rows


def test_of_two_samples_of_one_key_the_same_one_wins_everywhere(one: OneShard) -> None:
    for name in ("a", "b"):
        one.sink(name).commit(_with_text(one.samples, name))
    winners = set()
    for _ in range(3):
        one.store.remove_tree("faq")
        one.store.remove_tree("math")
        one.store.remove_tree(layout.MANIFESTS)
        one.sink().finish(one.positions)
        texts = {row["text"] for prompt in ("faq", "math") for row in final_rows(one.recipe, 0, prompt)}
        winners.add(frozenset(texts - {None}))
    assert winners == {frozenset({"a"})}


def test_a_shard_whose_range_holds_no_line_is_finished_with_empty_files(one: OneShard) -> None:
    sink = one.sink()
    manifest = sink.finish([])
    assert manifest.documents == 0
    assert final_rows(one.recipe, 0, "math") == []


def test_a_prompts_folder_reads_as_one_dataset_of_the_samples_schema(one: OneShard) -> None:
    sink = one.sink()
    sink.commit(one.samples)
    sink.finish(one.positions)
    dataset = ds.dataset(Path(one.recipe.output.uri) / "faq", format="parquet")
    assert dataset.schema.equals(SCHEMA)
    assert dataset.count_rows() == 14
    metadata = pq.read_schema(Path(one.recipe.output.uri) / "faq" / "shard-00000.parquet").metadata
    assert metadata[b"rephrase_schema_version"] == b"1"
    assert {path.name for path in (Path(one.recipe.output.uri) / "faq").iterdir()} == {"shard-00000.parquet"}


class CountingStore(Store):
    """Counts what is read of each file."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.reads: Counter[str] = Counter()

    def read(self, path: str) -> bytes:
        self.reads[path] += 1
        return super().read(path)

    def fetch(self, path: str, local: Path) -> None:
        self.reads[path] += 1
        super().fetch(path, local)


@pytest.mark.parametrize("prompts", [1, 5])
def test_finishing_reads_every_segment_once_for_all_prompts(tmp_path: Path, prompts: int) -> None:
    one = OneShard(tmp_path, prompts=[f"prompt-{number}" for number in range(prompts)])
    for sample in one.samples:
        one.sink().commit([sample])
    store = CountingStore(one.recipe.output.uri)
    ShardSink(store, one.recipe, one.plan, "pod").finish(one.positions)
    segments = one.store.list(layout.segments_dir(0))
    assert len(segments) == 7 * 2 * prompts
    finals = [layout.sample_file(prompt.name, 0) for prompt in one.recipe.prompts]
    manifest = layout.manifest(0)
    assert store.reads == dict.fromkeys([*segments, *finals], 1) | {manifest: 2}


def test_segments_that_go_while_a_twin_is_finalized_are_no_error(
    one: OneShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.sink().commit(one.samples)
    fetch = Store.fetch

    def overtaken(store: Store, path: str, local: Path) -> None:
        monkeypatch.setattr(Store, "fetch", fetch)
        finished.append(one.sink("twin").finish(one.positions))
        one.store.remove_tree(layout.SEGMENTS)
        fetch(store, path, local)

    finished: list[Manifest] = []
    monkeypatch.setattr(Store, "fetch", overtaken)
    assert one.sink("late").finish(one.positions) == finished[0]


@pytest.mark.parametrize("step", ["fetching", "merging"])
def test_a_scratch_disk_that_is_full_is_named_and_costs_nothing(
    one: OneShard, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    one.sink().commit(one.samples)
    with monkeypatch.context() as patch:
        if step == "fetching":
            patch.setattr("shutil.copyfile", full)
        else:
            patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(WorkerError) as caught:
            one.sink().finish(one.positions)
    assert caught.value.failure.reason is Reason.INTERNAL
    assert f"can't be merged in {tempfile.gettempdir()}" in caught.value.failure.message
    assert "No space left on device" in caught.value.failure.message
    assert one.sink().finish(one.positions).documents == 7


def test_final_files_that_are_there_are_not_made_again(one: OneShard) -> None:
    one.sink().commit(one.samples)
    one.sink().finish(one.positions)
    one.store.remove_tree(layout.MANIFESTS)
    store = CountingStore(one.recipe.output.uri)
    ShardSink(store, one.recipe, one.plan, "pod").finish(one.positions)
    assert not any(path.startswith(layout.SEGMENTS) for path in store.reads)


@settings(max_examples=30)
@given(data=st.data())
def test_segments_in_any_order_with_any_overlap_merge_to_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    one = OneShard(tmp_path_factory.mktemp("merge"))
    segments = data.draw(st.lists(st.lists(st.sampled_from(one.samples), min_size=1), max_size=12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "ROW_GROUP_ROWS", data.draw(st.integers(1, 9)))
        patch.setattr(merge, "SEGMENTS_IN_MEMORY", data.draw(st.integers(1, 3)))
        for number, samples in enumerate([*segments, one.samples]):
            one.sink(f"{number}").commit(_with_text(samples, f"text of {number}"))
        one.sink().finish(one.positions)
    first: dict[Key, str | None] = {}
    for path in one.store.list(layout.segments_dir(0)):
        for row in pq.read_table(pa.BufferReader(one.store.read(path))).to_pylist():
            key = Key(row["source_file"], row["source_position"], row["prompt"], row["rollout"])
            first.setdefault(key, row["text"])
    for prompt in ("faq", "math"):
        rows = final_rows(one.recipe, 0, prompt)
        assert [
            (row["source_file"], row["source_position"], row["rollout"], row["text"]) for row in rows
        ] == [
            (file, position, rollout, first[Key(file, position, prompt, rollout)])
            for file, position in one.positions
            for rollout in (0, 1)
        ]


EMPTY = ["", " ", "\n\t ", "\u00a0\u2003", "\u3000"]


@pytest.mark.parametrize("text", EMPTY)
def test_answers_without_a_text_are_counted_and_stay_texts(one: OneShard, text: str) -> None:
    empty = {one.samples[0].key, one.samples[1].key}
    samples = [
        dataclasses.replace(sample, text=text if sample.key in empty else "\u200b.")
        if sample.text
        else sample
        for sample in one.samples
    ]
    one.sink().commit(samples)
    totals = one.sink().resume().totals
    assert (totals.text, totals.empty) == (16, 2)
    manifest = one.sink().finish(one.positions)
    assert {name: (account.text, account.empty) for name, account in manifest.prompts.items()} == {
        "faq": (8, 2),
        "math": (8, 0),
    }
    texts = [row["text"] for row in final_rows(one.recipe, 0, "faq")]
    assert texts.count(text) == 2


def test_a_segment_that_can_not_be_read_is_never_passed_over(one: OneShard) -> None:
    sink = one.sink()
    sink.commit(one.samples)
    (path,) = one.store.list(layout.segments_dir(0))
    one.store.replace(path, b"torn")
    operations: list[Callable[[], object]] = [sink.resume, lambda: sink.finish(one.positions)]
    for operation in operations:
        with pytest.raises(WorkerError) as caught:
            operation()
        assert caught.value.failure.reason is Reason.INTERNAL
        assert f"{one.store.uri}/{path} is damaged" in caught.value.failure.message
        assert "Remove the file" in caught.value.failure.message


def test_a_store_that_fails_while_the_job_runs_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OneShard(tmp_path)
    sink = one.sink()

    def denied(descriptor: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.fsync", denied)
    with pytest.raises(WorkerError) as caught:
        sink.commit(one.samples)
    assert caught.value.failure.reason is Reason.OUTPUT_NOT_WRITABLE
    assert caught.value.exit_code is ExitCode.INTERNAL


def test_segments_sort_by_position_and_never_share_a_name(one: OneShard) -> None:
    sinks = itertools.cycle([one.sink("x"), one.sink("x"), one.sink("y/../z")])
    for sample, sink in zip(one.samples, sinks, strict=False):
        sink.commit([sample])
    listed = one.store.list(layout.segments_dir(0))
    assert len(listed) == len(one.samples)
    files = [pq.read_table(pa.BufferReader(one.store.read(path))).to_pylist()[0] for path in listed]
    order = [(row["source_file"], row["source_position"]) for row in files]
    assert order == sorted(order)


def _with_text(samples: Sequence[Sample], text: str) -> list[Sample]:
    return [sample if sample.text is None else dataclasses.replace(sample, text=text) for sample in samples]
