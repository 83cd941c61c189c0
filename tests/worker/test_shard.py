"""`generate` as a whole, in this process: what it reports when it is done, and what it does in outages."""

from __future__ import annotations

import random
import signal
import threading
import uuid
from collections.abc import Callable, Container
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest

from rephrase_worker.engine.simulated import SimulatedEngine
from rephrase_worker.finalizer import finalize
from rephrase_worker.generate.shard import Job, final_report, generate
from rephrase_worker.manifests import Manifest
from rephrase_worker.planner import plan
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.signals import Terminated, on_sigterm, terminate
from rephrase_worker.spec import EngineSettings, ExitCode, Reason, Recipe, ShardReport, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import final_rows, make_recipe, write_jsonl, write_parquet
from tests.worker.faulty_store import KilledError
from tests.worker.outage import WRITES, Fault, Outage, down
from tests.worker.virtual_clock import FastClock

DOCUMENTS, BROKEN, ROLLOUTS, TOKENS = 14, 2, 2, 8
PROMPTS = ("faq", "math")
TEXTS = (DOCUMENTS - BROKEN) * ROLLOUTS * len(PROMPTS)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A planned job of one shard."""
    write_parquet(tmp_path / "in" / "a.parquet", [f"text number {number}" for number in range(9)])
    write_jsonl(tmp_path / "in" / "b.jsonl", ["one", "", "two", None, "three"])
    made = make_recipe(
        tmp_path / "in",
        f"memory://{uuid.uuid4().hex}/out",
        prompts=PROMPTS,
        rollouts=ROLLOUTS,
        documents_per_shard=100,
    )
    plan(made)
    return made


class Pod:
    """One attempt at the shard, by a fast clock."""

    def __init__(self, recipe: Recipe, uid: str, **environment: str) -> None:
        self.clock = FastClock()
        self.progress = ShardProgress(shard=0, pod_uid=uid, now=self.clock.now)
        self._job = Job(
            recipe=recipe,
            engine=EngineSettings(backend="simulated", max_requests_in_flight=4, commit_interval_seconds=1),
            shard=0,
            pod_uid=uid,
        )
        self._environment = {
            "REPHRASE_SIMULATED_TOKEN_SECONDS": "0.05",
            "REPHRASE_SIMULATED_OUTPUT_TOKENS": str(TOKENS),
            **environment,
        }

    def run(self) -> Manifest:
        with on_sigterm(terminate):
            return generate(
                self._job,
                self.progress,
                on_commit=lambda: None,
                environment=self._environment,
                clock=self.clock,
            )

    def done(self) -> ShardReport:
        return final_report(self.run(), self.progress)


def assert_account_is_exact(recipe: Recipe, manifest: Manifest) -> None:
    for prompt in PROMPTS:
        rows = final_rows(recipe, 0, prompt)
        keys = {(row["source_file"], row["source_position"], row["rollout"]) for row in rows}
        assert len(keys) == len(rows) == DOCUMENTS * ROLLOUTS
        assert sum(row["error"] is not None for row in rows) == BROKEN * ROLLOUTS
        assert manifest.prompts[prompt].text == (DOCUMENTS - BROKEN) * ROLLOUTS
    final = finalize(recipe)
    assert (final.samples_text, final.samples_missing) == (TEXTS, 0)


def test_a_pod_that_did_it_all_reports_its_own_pace(recipe: Recipe) -> None:
    report = Pod(recipe, "only").done()
    assert (report.state, report.samples_text, report.documents_done) == ("done", TEXTS, DOCUMENTS)
    assert report.generated_tokens == report.output_tokens == TEXTS * TOKENS
    assert report.engine_seconds > 0
    assert report.tokens_per_second == 0.0
    assert report.commits > 0


def test_the_manifest_tells_which_pods_made_it_and_when(recipe: Recipe) -> None:
    first = Pod(recipe, "first", REPHRASE_SIMULATED_DIE_AFTER="30", POD_NAME="pod-a", NODE_NAME="node-1")
    began = first.clock.moment()
    with pytest.raises(WorkerError):
        first.run()
    second = Pod(recipe, "second", REPHRASE_GPUS="4")
    made = second.run().timeline
    by_name = {worker.name: (worker.node, worker.gpus) for worker in made.workers}
    assert by_name == {"pod-a": ("node-1", 1), "second": ("", 4)}
    assert {worker.software for worker in made.workers} == {
        f"simulated engine, rephrase-operator {metadata.version('rephrase-operator')}"
    }
    assert {worker.settings for worker in made.workers} == {"maxRequestsInFlight 4"}
    assert TEXTS * TOKENS <= sum(point.tokens for point in made.points) < 2 * TEXTS * TOKENS
    assert sum(point.samples for point in made.points) == DOCUMENTS * ROLLOUTS * len(PROMPTS)
    for pod, name in ((first, "pod-a"), (second, "second")):
        points = [point for point in made.points if made.workers[point.worker].name == name]
        assert all(began * 1000 <= point.at <= pod.clock.moment() * 1000 for point in points)
        worked = sum(point.engine for point in points) / 1000
        assert 0 < worked <= pod.progress.report().engine_seconds + 0.001


def test_a_pod_that_went_on_reports_the_tokens_of_its_own_seconds(recipe: Recipe) -> None:
    first = Pod(recipe, "first", REPHRASE_SIMULATED_DIE_AFTER="30")
    with pytest.raises(WorkerError):
        first.run()
    earlier = first.progress.report()
    assert 30 * TOKENS <= earlier.generated_tokens < TEXTS * TOKENS
    report = Pod(recipe, "second").done()
    assert report.output_tokens == TEXTS * TOKENS
    assert report.generated_tokens == (TEXTS - earlier.samples_text) * TOKENS
    assert report.engine_seconds > 0


def test_a_pod_that_only_merged_reports_no_tokens_and_no_seconds(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # Dies when all is committed and nothing is merged.
        Outage(patch, lambda _, name: KilledError() if name == "put_file" else None)
        with pytest.raises(KilledError):
            Pod(recipe, "first").run()
    for uid in ("merges", "finds it finished"):
        report = Pod(recipe, uid).done()
        assert (report.state, report.output_tokens) == ("done", TEXTS * TOKENS)
        assert (report.generated_tokens, report.engine_seconds, report.commits) == (0, 0.0, 0)


def test_the_engine_is_closed_before_anything_is_merged(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    close = SimulatedEngine.close

    async def closing(engine: SimulatedEngine) -> None:
        await close(engine)
        order.append("closed")

    monkeypatch.setattr(SimulatedEngine, "close", closing)

    def note(_: int, name: str) -> Fault:
        if name in ("get_file", "put_file"):
            order.append(name)
        return None

    Outage(monkeypatch, note)
    Pod(recipe, "only").run()
    assert order[0] == "closed"
    assert {"get_file", "put_file"} == set(order[1:])


def fails_at(numbers: Container[int]) -> Callable[[int, str], Fault]:
    return lambda number, _: down() if number in numbers else None


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("failures", [1, 4])
def test_an_outage_at_any_moment_costs_nothing(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, failures: int, after: bool
) -> None:
    store = Store(recipe.output.uri)
    at, failed = 1, 0
    while True:
        for folder in (*PROMPTS, "_rephrase/manifests", "_rephrase/segments"):
            store.remove_tree(folder)
        with monkeypatch.context() as patch:
            outage = Outage(patch, fails_at(range(at, at + failures)), after=after)
            pod = Pod(recipe, f"pod-{at}")
            manifest = pod.run()
        assert_account_is_exact(recipe, manifest)
        assert pod.progress.report().generated_tokens == TEXTS * TOKENS
        if outage.operations < at:
            break
        failed += outage.failures
        at += failures + 2
    assert at > 20
    assert failed > 20 // 3


def test_finalizing_survives_an_outage_at_any_moment(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    Pod(recipe, "only").run()
    expected = finalize(recipe)
    for after in (False, True):
        at, failed = 1, 0
        while True:
            with monkeypatch.context() as patch:
                outage = Outage(patch, fails_at(range(at, at + 4)), after=after)
                assert finalize(recipe, clock=FastClock()) == expected
            if outage.operations < at:
                break
            failed += outage.failures
            at += 3
        assert failed > 10


def test_an_outage_that_never_ends_ends_the_worker_wherever_it_begins(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in (1, 6, 14):
        with monkeypatch.context() as patch:
            Outage(patch, fails_at(range(at, 10_000)))
            with pytest.raises(WorkerError) as caught:
                Pod(recipe, f"pod-{at}").run()
        assert caught.value.failure.reason is Reason.OUTPUT_NOT_WRITABLE
        assert caught.value.exit_code is ExitCode.INTERNAL
        assert " times in 6" in caught.value.failure.message
    assert_account_is_exact(recipe, Pod(recipe, "last").run())


def sigterm() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


@pytest.mark.parametrize("at", range(1, 30, 3))
def test_sigterm_in_an_outage_ends_the_worker_and_the_next_one_completes_the_shard(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    signalled = threading.Event()

    def fails(number: int, _: str) -> Fault:
        if number < at:
            return None
        if number == at:
            signalled.set()
            sigterm()
        return down()

    with monkeypatch.context() as patch:
        Outage(patch, fails)
        with pytest.raises((Terminated, WorkerError)) as caught:
            Pod(recipe, "first", TERMINATION_GRACE_SECONDS="25").run()
    assert signalled.is_set()
    if isinstance(caught.value, WorkerError):
        assert caught.value.failure.reason is Reason.PREEMPTED
    assert_account_is_exact(recipe, Pod(recipe, "second").run())


@pytest.mark.parametrize("seed", range(12))
def test_any_mixture_of_outages_signals_and_kills_ends_with_every_key_once(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)

    def faults(pod: int) -> Callable[[int, str], Fault]:
        """Chosen by the operation's number; each pod has another lot."""
        down_at = {chance.randrange(60) + n for n in (0, 1, 2, 3) for _ in range(4)}
        sigterm_at = chance.randrange(80)
        killed_at = chance.randrange(80) if pod % 2 else None

        def fails(number: int, name: str) -> Fault:
            if number == killed_at:
                return KilledError()
            if number == sigterm_at:
                sigterm()
            return down() if number in down_at or (name in WRITES and number % 7 == seed % 7) else None

        return fails

    for pod in range(3):
        with monkeypatch.context() as patch:
            Outage(patch, faults(pod), after=chance.random() < 0.5)
            with suppress(KilledError, Terminated, WorkerError):
                Pod(recipe, f"pod-{pod}", TERMINATION_GRACE_SECONDS="25").run()
    assert_account_is_exact(recipe, Pod(recipe, "last").run())
