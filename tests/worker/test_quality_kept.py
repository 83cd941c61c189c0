"""The quality of committed samples: in reports while a shard runs, at the destination when it is done."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_manifest, read_quality
from rephrase_worker.finalizer import finalize
from rephrase_worker.finalizer.quality import add_up_quality
from rephrase_worker.manifests import Manifest
from rephrase_worker.planner import planner
from rephrase_worker.quality.measure import Measure, Measured
from rephrase_worker.quality.report import QualityReport
from rephrase_worker.samples import SCHEMA, Sample
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Prompt, Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import (
    make_recipe,
    make_sample,
    positions,
    read_documents,
    shard_plans,
    write_parquet,
)

SAME = "Let's imagine a farmer who sells apples."
DOCUMENTS = 40


class Job:
    """A planned job of 40 documents in 4 shards, whose outputs begin alike in every fourth sample."""

    def __init__(self, folder: Path, *, prompts: Sequence[str] = ("math", "faq")) -> None:
        write_parquet(folder / "in" / "a.parquet", [f"text {number}" for number in range(DOCUMENTS)])
        plain = make_recipe(
            folder / "in", f"memory://{uuid.uuid4().hex}/out", prompts=prompts, documents_per_shard=10
        )
        structured = [
            Prompt(name=prompt.name, template=prompt.template, structure="qa-pairs")
            for prompt in plain.prompts
        ]
        self.recipe: Recipe = plain.model_copy(update={"prompts": structured})
        planner.plan(self.recipe)
        self.plans = shard_plans(self.recipe)
        self.store = Store(self.recipe.output.uri)

    def samples(self, shard: int) -> list[Sample]:
        return [
            make_sample(
                self.recipe,
                source_file=file,
                source_position=position,
                prompt=prompt.name,
                text=f"{SAME} He has {position}." if position % 4 == 0 else f"{position} is a number. So.",
                error="engine_error: too hot" if position % 10 == 9 else None,
            )
            for file, position in self.positions(shard)
            for prompt in self.recipe.prompts
        ]

    def positions(self, shard: int) -> list[tuple[str, int]]:
        return positions(read_documents(self.recipe, self.plans[shard]))

    def sink(self, shard: int, uid: str = "pod") -> ShardSink:
        return ShardSink(self.store, self.recipe, self.plans[shard], uid)

    def finish(self, shard: int) -> Manifest:
        sink = self.sink(shard)
        sink.commit(self.samples(shard))
        return sink.finish(self.positions(shard))

    def report(self) -> QualityReport:
        return QualityReport.model_validate_json(self.store.read(layout.QUALITY))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_a_report_is_about_what_is_committed(job: Job) -> None:
    sink, samples = job.sink(0), job.samples(0)
    assert sink.quality()["math"].samples == 0
    sink.commit(samples[:8])
    assert sink.quality()["math"].samples == 4
    sink.commit(samples[8:])
    math = sink.quality()["math"]
    assert (math.samples, math.structure_judged, math.structured) == (9, 9, 0)
    assert math.openings[SAME] == 3
    assert sink.quality()["faq"] == math


def test_a_commit_that_fails_is_in_no_report(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise WorkerError(Reason.OUTPUT_NOT_WRITABLE, "the disk is full")

    sink = job.sink(0)
    monkeypatch.setattr(job.store, "create", fail)
    with pytest.raises(WorkerError):
        sink.commit(job.samples(0))
    assert sink.quality()["math"].samples == 0


def test_the_next_pod_reports_what_the_last_one_committed(job: Job) -> None:
    first, samples = job.sink(0, "first"), job.samples(0)
    first.commit(samples[:10])
    job.sink(0, "twin").commit(samples[6:12])
    second = job.sink(0, "second")
    second.resume()
    assert second.quality()["math"].samples == 6
    second.commit(samples[12:])
    assert second.quality()["math"].openings[SAME] == 3


def test_a_finished_shard_is_reported_by_whoever_finds_it_finished(job: Job) -> None:
    job.finish(1)
    found = job.sink(1, "late").finished_quality()
    # Positions 12 and 16; 19 is an error.
    assert (found["math"].samples, found["math"].openings[SAME]) == (9, 2)


def test_the_figures_of_the_dataset_are_those_of_all_its_texts(job: Job) -> None:
    for shard in (2, 0, 3, 1):
        job.finish(shard)
    final = finalize(job.recipe)
    report = job.report()
    assert (report.shards, report.uncounted_shards) == (4, 0)
    texts = [sample.text for shard in range(4) for sample in job.samples(shard) if sample.prompt == "math"]
    whole = Measure(job.recipe.prompts[0])([Measured(text, 10, 5) for text in texts if text is not None])
    math = report.prompts["math"]
    assert math.samples == whole.samples == 36
    top = math.openings["firstSentence"][0]
    assert (top.text, top.count, top.at_most, top.share) == (SAME, 10, 10, round(10 / 36, 6))
    assert math.distinct_words.distinct == whole.distinct_words.estimate
    assert math.output_tokens.mean == 5
    assert final.quality["math"].openings[SAME] == 10


def test_the_sum_does_not_depend_on_the_order_of_the_shards(job: Job) -> None:
    manifests = [job.finish(shard) for shard in range(4)]
    forwards = add_up_quality(job.store, job.recipe, manifests)
    assert add_up_quality(job.store, job.recipe, manifests[::-1]) == forwards


def test_shards_that_an_earlier_version_finished_are_said_to_be_uncounted(job: Job) -> None:
    for shard in range(4):
        job.finish(shard)
    job.store.remove(layout.shard_quality(2))
    assert job.sink(2, "late").finished_quality() == {}
    finalize(job.recipe)
    report = job.report()
    assert (report.shards, report.uncounted_shards) == (3, 1)
    assert report.prompts["math"].samples == 27


def test_a_job_that_has_no_finished_shard_has_a_report_of_nothing(job: Job) -> None:
    final = finalize(job.recipe)
    assert job.report().prompts["math"].samples == 0
    assert final.quality["math"].samples == 0


@pytest.mark.parametrize("content", [b"", b"{}", b"(\xb5/\xfd half"])
def test_a_damaged_quality_file_is_named(job: Job, content: bytes) -> None:
    for shard in range(4):
        job.finish(shard)
    job.store.replace(layout.shard_quality(2), content)
    with pytest.raises(WorkerError, match="quality/shard-00002") as caught:
        finalize(job.recipe)
    assert caught.value.failure.reason is Reason.ACCOUNT_MISMATCH


def test_a_quality_file_of_other_texts_is_refused(job: Job) -> None:
    for shard in range(4):
        job.finish(shard)
    job.store.replace(layout.shard_quality(2), job.store.read(layout.shard_quality(0)))
    # Shards 0 and 2 have as many texts: what differs is the number in the file.
    with pytest.raises(WorkerError, match="quality/shard-00002"):
        finalize(job.recipe)


def test_only_errors_have_no_quality(tmp_path: Path) -> None:
    job = Job(tmp_path)
    sink = job.sink(0)
    failed = [
        make_sample(
            job.recipe,
            source_file=file,
            source_position=position,
            prompt=prompt.name,
            error="engine_error: no",
        )
        for file, position in job.positions(0)
        for prompt in job.recipe.prompts
    ]
    sink.commit(failed)
    sink.finish(job.positions(0))
    assert sink.finished_quality()["math"].samples == 0
    assert sink.finished_quality()["math"].openings == {}


def test_segments_of_a_worker_that_noted_no_language_are_merged(job: Job) -> None:
    samples = job.samples(0)
    sink = job.sink(0)
    sink.commit(samples)
    (path,) = job.store.list(layout.segments_dir(0))
    old = pq.read_table(pa.BufferReader(job.store.read(path))).drop_columns(["document_language"])
    written = pa.BufferOutputStream()
    pq.write_table(old, written)
    job.store.replace(path, written.getvalue().to_pybytes())
    next_one = job.sink(0, "next")
    assert next_one.resume().totals.text == 18
    next_one.finish(job.positions(0))
    rows = pq.read_table(pa.BufferReader(job.store.read(layout.sample_file("math", 0))))
    assert rows.schema.names == SCHEMA.names
    assert rows.column("document_language").null_count == len(rows)


def test_the_counts_lie_beside_the_manifest_before_it_is_written(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    create = job.store.create

    def die_at_the_manifest(path: str, data: bytes) -> bool:
        if path == layout.manifest(0):
            raise KilledError
        return create(path, data)

    sink = job.sink(0)
    sink.commit(job.samples(0))
    with monkeypatch.context() as patch:
        patch.setattr(job.store, "create", die_at_the_manifest)
        with pytest.raises(KilledError):
            sink.finish(job.positions(0))
    before = read_quality(job.store, 0)
    assert before is not None
    assert job.sink(0, "next").finish(job.positions(0)) == read_manifest(job.store, layout.manifest(0))
    assert read_quality(job.store, 0) == before
