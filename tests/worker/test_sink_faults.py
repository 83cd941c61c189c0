"""Whatever dies, restarts or runs twice: every key comes out exactly once, and nothing committed changes."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_quality
from rephrase_worker.manifests import Manifest
from rephrase_worker.plan import Range, ShardPlan, SourceFile
from rephrase_worker.quality.measure import Measure, Measured
from rephrase_worker.quality.state import kept
from rephrase_worker.samples import Sample
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Recipe, WorkerError
from rephrase_worker.store import Patience, Store
from tests.worker.builders import final_rows, make_recipe, make_sample
from tests.worker.faulty_store import FaultyStore, KilledError
from tests.worker.outage import Outage, down
from tests.worker.virtual_clock import FastClock

POSITIONS = [("b", 0), ("b", 7), ("a", 0), ("a", 1), ("a", 2)]
"""The plan's order of files is not the alphabet's."""

PROMPTS = ("faq", "math")
ERRORS = {("b", 7), ("a", 2)}


def plan_of_shard() -> ShardPlan:
    files = [
        SourceFile(path=path, format="jsonl", size=9, etag="e", documents=3, documents_exact=True)
        for path in ("b", "a")
    ]
    ranges = [Range(file=file, start=0, end=9) for file in files]
    return ShardPlan(shard=0, root="/data", ranges=ranges, documents=5, documents_exact=False)


def recipe_for(output: str) -> Recipe:
    return make_recipe("/data", output, prompts=PROMPTS, rollouts=2)


def all_samples(recipe: Recipe, writer: str) -> list[Sample]:
    """Sampled text differs between twins; whether a document is in error does not."""
    return [
        make_sample(
            recipe,
            source_file=file,
            source_position=position,
            prompt=prompt,
            rollout=rollout,
            text=f"{writer} {file} {position} {prompt} {rollout}",
            error="empty_text: the text is empty" if (file, position) in ERRORS else None,
        )
        for file, position in POSITIONS
        for prompt in PROMPTS
        for rollout in range(2)
    ]


def complete(store: Store, recipe: Recipe, writer: str, *, chunk: int = 7) -> Manifest:
    """What a worker does: finds out what is missing, commits it piece by piece, finishes."""
    sink = ShardSink(store, recipe, plan_of_shard(), writer)
    if (manifest := sink.manifest()) is not None:
        return manifest
    done = sink.resume().keys
    missing = [sample for sample in all_samples(recipe, writer) if sample.key not in done]
    for start in range(0, len(missing), chunk):
        sink.commit(missing[start : start + chunk])
    return sink.finish(POSITIONS)


def assert_exactly_once(recipe: Recipe, manifest: Manifest) -> None:
    """Every key is in the final files once, in order, and the manifest says what they hold."""
    assert manifest.documents == len(POSITIONS)
    for prompt in PROMPTS:
        rows = final_rows(recipe, 0, prompt)
        keys = [(row["source_file"], row["source_position"], row["rollout"]) for row in rows]
        assert keys == [(*position, rollout) for position in POSITIONS for rollout in range(2)]
        account = manifest.prompts[prompt]
        assert account.text == sum(1 for row in rows if row["text"] is not None) == 6
        assert account.error == sum(1 for row in rows if row["error"] is not None) == 4
        assert account.output_tokens == sum(row["output_tokens"] for row in rows)
        assert account.errors == {"empty_text": 4}
    assert_quality_is_that_of_the_files(recipe)


def assert_quality_is_that_of_the_files(recipe: Recipe) -> None:
    """Whoever was killed when: the counts are those of the rows that became the dataset."""
    quality = read_quality(Store(recipe.output.uri), 0)
    assert quality is not None
    for prompt in recipe.prompts:
        texts = [row["text"] for row in final_rows(recipe, 0, prompt.name) if row["text"] is not None]
        counts = quality.prompts[prompt.name]
        assert counts.samples == len(texts) == 6
        assert counts == kept(Measure(prompt)([Measured(text, 10, 5) for text in texts]))


OPERATIONS = 40
"""More than completing a shard takes, so that every operation is died at once."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_worker_may_be_killed_at_any_operation_and_another_completes_the_shard(after: bool) -> None:
    survived = 0
    for at in range(1, OPERATIONS):
        recipe = recipe_for(f"memory://{uuid.uuid4().hex}/out")
        with suppress(KilledError):
            complete(FaultyStore(recipe.output.uri, at=at, after=after), recipe, "first")
            survived += 1
        store = Store(recipe.output.uri)
        kept = ShardSink(store, recipe, plan_of_shard(), "second").resume().keys
        assert_exactly_once(recipe, complete(store, recipe, "second"))
        texts = {row["text"] for prompt in PROMPTS for row in final_rows(recipe, 0, prompt)}
        committed_by_first = sum(1 for key in kept if key[:2] not in ERRORS)
        assert sum(1 for text in texts if text and text.startswith("first")) == committed_by_first
    assert survived > 0, "OPERATIONS does not reach the end"


def test_two_workers_killed_one_after_the_other_lose_nothing() -> None:
    for first in range(1, OPERATIONS, 5):
        for second in range(2, OPERATIONS, 6):
            recipe = recipe_for(f"memory://{uuid.uuid4().hex}/out")
            for at, writer in ((first, "first"), (second, "second")):
                with suppress(KilledError):
                    store = FaultyStore(recipe.output.uri, at=at, after=True)
                    complete(store, recipe, writer, chunk=4)
            assert_exactly_once(recipe, complete(Store(recipe.output.uri), recipe, "third"))


def test_twins_that_run_at_the_same_time_agree(tmp_path: Path) -> None:
    for round_ in range(5):
        recipe = recipe_for(str(tmp_path / f"out-{round_}"))
        barrier = threading.Barrier(4)

        def work(number: int, recipe: Recipe = recipe, barrier: threading.Barrier = barrier) -> Manifest:
            barrier.wait()
            return complete(Store(recipe.output.uri), recipe, f"twin-{number}", chunk=1 + number)

        with ThreadPoolExecutor(4) as pool:
            manifests = list(pool.map(work, range(4)))
        assert all(manifest == manifests[0] for manifest in manifests)
        assert_exactly_once(recipe, manifests[0])


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("seed", range(6))
def test_twins_agree_through_outages(monkeypatch: pytest.MonkeyPatch, seed: int, after: bool) -> None:
    recipe = recipe_for(f"memory://{uuid.uuid4().hex}/out")
    down_at = {n for start in random.Random(seed).sample(range(150), 20) for n in range(start, start + 3)}
    barrier = threading.Barrier(3)

    def work(number: int) -> Manifest:
        store = Store(recipe.output.uri, patience=Patience(FastClock()))
        barrier.wait()
        return complete(store, recipe, f"twin-{number}", chunk=2 + number)

    with monkeypatch.context() as patch, ThreadPoolExecutor(3) as pool:
        outage = Outage(patch, lambda number, _: down() if number in down_at else None, after=after)
        manifests = list(pool.map(work, range(3)))
    assert outage.failures > 10
    assert all(manifest == manifests[0] for manifest in manifests)
    assert_exactly_once(recipe, manifests[0])


class Twins(RuleBasedStateMachine):
    """Several workers on one shard, in any interleaving of commits, deaths, restarts and merges."""

    def __init__(self) -> None:
        super().__init__()
        self.recipe = recipe_for(f"memory://{uuid.uuid4().hex}/out")
        self.store = Store(self.recipe.output.uri)
        self.samples = {writer: all_samples(self.recipe, writer) for writer in "xyz"}
        self.sinks = {writer: self.new_sink(self.store, writer) for writer in "xyz"}
        self.committed: set[tuple[object, ...]] = set()
        self.frozen: dict[str, bytes] = {}

    def new_sink(self, store: Store, writer: str) -> ShardSink:
        return ShardSink(store, self.recipe, plan_of_shard(), writer)

    def pick(self, writer: str, chosen: Sequence[int]) -> list[Sample]:
        return [self.samples[writer][index] for index in dict.fromkeys(chosen)]

    writers = st.sampled_from("xyz")
    choices = st.lists(st.integers(0, 19), min_size=1, max_size=20)

    @rule(writer=writers, chosen=choices)
    def commit(self, writer: str, chosen: list[int]) -> None:
        samples = self.pick(writer, chosen)
        self.sinks[writer].commit(samples)
        self.committed |= {sample.key for sample in samples}

    @rule(writer=writers)
    def restart(self, writer: str) -> None:
        self.sinks[writer] = self.new_sink(self.store, writer)

    @rule(writer=writers, chosen=choices, after=st.booleans())
    def die_while_committing(self, writer: str, chosen: list[int], after: bool) -> None:
        dying = self.new_sink(FaultyStore(self.recipe.output.uri, at=1, after=after), writer)
        samples = self.pick(writer, chosen)
        with suppress(KilledError):
            dying.commit(samples)
        if after:
            self.committed |= {sample.key for sample in samples}

    @rule(writer=writers, at=st.integers(1, 25), after=st.booleans())
    def die_while_finishing(self, writer: str, at: int, after: bool) -> None:
        dying = self.new_sink(FaultyStore(self.recipe.output.uri, at=at, after=after), writer)
        with suppress(KilledError, WorkerError):
            dying.finish(POSITIONS)

    @rule(writer=writers)
    def finish(self, writer: str) -> None:
        if len(self.committed) == 20:
            assert_exactly_once(self.recipe, self.sinks[writer].finish(POSITIONS))
        elif not self.frozen:
            with pytest.raises(WorkerError):
                self.sinks[writer].finish(POSITIONS)

    @precondition(lambda self: len(self.committed) < 20)
    @rule(writer=writers)
    def resume_and_commit_the_rest(self, writer: str) -> None:
        done = self.sinks[writer].resume().keys
        rest = [sample for sample in self.samples[writer] if sample.key not in done]
        self.sinks[writer].commit(rest)
        self.committed |= {sample.key for sample in rest}

    @invariant()
    def every_commit_is_seen_by_everybody(self) -> None:
        committed = self.new_sink(self.store, "reader").resume()
        assert committed.keys == self.committed
        assert committed.totals.text + committed.totals.error == len(self.committed)

    @invariant()
    def a_key_that_two_committed_counts_once(self) -> None:
        reader = self.new_sink(self.store, "reader")
        totals = reader.resume().totals
        assert sum(quality.samples for quality in reader.quality().values()) == totals.text

    @invariant()
    def final_files_and_manifest_never_change(self) -> None:
        for path in (
            layout.manifest(0),
            layout.shard_quality(0),
            *(layout.sample_file(prompt, 0) for prompt in PROMPTS),
        ):
            if path in self.frozen:
                assert self.store.read(path) == self.frozen[path]
            elif self.store.exists(path):
                self.frozen[path] = self.store.read(path)

    def teardown(self) -> None:
        assert_exactly_once(self.recipe, complete(self.store, self.recipe, "x"))


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
