"""What commits note of their work, and how it reaches the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.planner import planner
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Recipe
from rephrase_worker.store import Store
from rephrase_worker.timeline import POINTS, WORKERS, CommitNote, Timeline, Worker, timeline
from tests.worker.builders import (
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_jsonl,
)


def note(worker: str = "pod", at: int = 1000, **figures: int) -> CommitNote:
    defaults = {"engine": 10, "startup": 0, "samples": 1, "tokens": 5}
    return CommitNote(worker=Worker(name=worker, gpus=1), at=at, **(defaults | figures))


NOTES = st.lists(
    st.builds(
        note,
        worker=st.integers(0, 40).map(str),
        at=st.integers(0, 10**13),
        engine=st.integers(0, 10**7),
        samples=st.integers(0, 10**6),
        tokens=st.integers(0, 10**9),
    ),
    max_size=400,
)


@given(NOTES)
def test_a_timeline_is_bounded_and_loses_no_work(notes: list[CommitNote]) -> None:
    made = timeline(notes)
    assert len(made.points) <= POINTS
    assert len(made.workers) <= WORKERS
    for figure in ("engine", "startup", "samples", "tokens"):
        assert sum(getattr(point, figure) for point in made.points) == sum(
            getattr(each, figure) for each in notes
        )
    assert [point.at for point in made.points] == sorted(point.at for point in made.points)
    assert max((point.at for point in made.points), default=0) == max((each.at for each in notes), default=0)
    assert Timeline.model_validate_json(made.to_json()) == made


@given(NOTES)
def test_a_timeline_does_not_depend_on_the_order_of_notes(notes: list[CommitNote]) -> None:
    assert timeline(notes) == timeline(reversed(notes))


def test_few_notes_stay_as_they_are() -> None:
    made = timeline([note(at=2000), note("other", at=1000, engine=4)])
    assert [worker.name for worker in made.workers] == ["other", "pod"]
    assert [(point.worker, point.at, point.engine) for point in made.points] == [(0, 1000, 4), (1, 2000, 10)]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    write_jsonl(tmp_path / "in" / "a.jsonl", ["one", "two", "three"])
    made = make_recipe(tmp_path / "in", tmp_path / "out", prompts=("faq", "math"))
    planner.plan(made)
    return made


def sink_of(recipe: Recipe) -> ShardSink:
    return ShardSink(Store(recipe.output.uri), recipe, shard_plans(recipe)[0], "pod")


def test_notes_of_segments_are_the_manifests_timeline(recipe: Recipe) -> None:
    documents = read_documents(recipe, shard_plans(recipe)[0])
    samples = samples_of(recipe, documents)
    sink_of(recipe).commit(samples[:2], note("first", at=1000))
    sink_of(recipe).commit(samples[:4], note("twin", at=3000, startup=9))
    sink_of(recipe).commit(samples[4:])  # of a version that noted nothing
    manifest = sink_of(recipe).finish(positions(documents))
    assert [worker.name for worker in manifest.timeline.workers] == ["first", "twin"]
    assert [point.startup for point in manifest.timeline.points] == [0, 9]
    assert sink_of(recipe).manifest() == manifest


def test_a_worker_that_finds_final_files_alone_keeps_the_timeline(recipe: Recipe) -> None:
    """Killed between the last file and the manifest: the segments are still there."""
    documents = read_documents(recipe, shard_plans(recipe)[0])
    sink_of(recipe).commit(samples_of(recipe, documents), note())
    first = sink_of(recipe).finish(positions(documents))
    Store(recipe.output.uri).remove("_rephrase/manifests/shard-00000.json")
    assert sink_of(recipe).finish(positions(documents)) == first
