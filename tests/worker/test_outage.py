"""A destination that fails for a while costs no sample: it stays in hand until it is written."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from math import inf

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rephrase_worker import layout
from rephrase_worker.generate import commits
from rephrase_worker.samples import Key
from rephrase_worker.spec import ExitCode, Reason
from rephrase_worker.store import Store
from rephrase_worker.store.patience import LONGEST_DELAY_SECONDS, OUTAGE_SECONDS
from tests.worker.loop_bench import Bench, documents, keys
from tests.worker.outage import WRITES, Fault, Outage, down


@pytest.fixture
def uri() -> str:
    return f"memory://{uuid.uuid4().hex}/out"


def segment_rows(uri: str) -> Counter[Key]:
    """How often each key lies in a segment."""
    store = Store(uri)
    tables = [pq.read_table(pa.BufferReader(store.read(path))) for path in store.list(layout.segments_dir(0))]
    return Counter(
        Key(row["source_file"], row["source_position"], row["prompt"], row["rollout"])
        for table in tables
        for row in table.to_pylist()
    )


def writes_fail(bench: Bench, *, since: float = 0.0, until: float = inf) -> Callable[[int, str], Fault]:
    """Writes fail between two moments, in seconds from now."""
    start = bench.clock.now()

    def fails(number: int, name: str) -> Fault:
        passed = bench.clock.now() - start
        return down() if name in WRITES and since <= passed < until else None

    return fails


@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("failures", [1, 2, 7])
async def test_a_commit_that_fails_is_made_again_until_it_is_written_once(
    uri: str, monkeypatch: pytest.MonkeyPatch, failures: int, after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(documents(40), limit=8, token_seconds=0.2, store=uri)
    left = iter(range(failures))
    outage = Outage(
        monkeypatch,
        lambda _, name: down() if name in WRITES and next(left, None) is not None else None,
        after=after,
    )
    await bench.run()
    assert segment_rows(uri) == dict.fromkeys(keys(40), 1)
    report = bench.progress.report()
    # A put whose answer was lost has worked: the second attempt finds its own file.
    assert report.commit_failures == outage.failures > 0
    assert after or outage.failures == failures
    assert report.step == ""
    assert bench.engine.answered == 80
    assert "writing _rephrase/segments/shard-00000/" in caplog.text
    assert "Please reduce your request rate" in caplog.text
    assert f"worked, attempt={2 if after else failures + 1}" in caplog.text


async def test_generation_goes_on_through_an_outage_of_minutes(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(documents(400), limit=8, token_seconds=0.2, store=uri)
    Outage(monkeypatch, writes_fail(bench, since=20, until=20 + OUTAGE_SECONDS - 60))
    steps: set[str] = set()
    asked = Counter[bool]()

    def look() -> None:
        step = bench.progress.report().step
        steps.add(step.partition(",")[0])
        asked[step.startswith("the output fails")] += 1

    bench.engine.on_request = look
    await bench.run()
    assert segment_rows(uri) == dict.fromkeys(keys(400), 1)
    assert steps == {"", "the output fails"}
    assert asked[True] > asked[False] > 0, "requests have to go on in the outage"
    assert bench.engine.closed


async def test_an_outage_that_is_too_long_ends_the_worker_and_says_what_is_lost(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(documents(5000), limit=8, token_seconds=0.2, store=uri)
    outage = Outage(monkeypatch, writes_fail(bench, since=20))
    error = await bench.fail()
    assert (error.failure.reason, error.exit_code) == (Reason.OUTPUT_NOT_WRITABLE, ExitCode.INTERNAL)
    assert f" times in {OUTAGE_SECONDS:.0f} s" in error.failure.message
    assert "Please reduce your request rate" in error.failure.message
    assert OUTAGE_SECONDS / LONGEST_DELAY_SECONDS < outage.failures < OUTAGE_SECONDS
    assert bench.clock.now() - 1000 < 20 + OUTAGE_SECONDS + 60
    lost = bench.engine.answered - segment_rows(uri).total()
    assert lost > 0
    assert f"{lost} finished samples were not committed" in caplog.text


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), FileNotFoundError(2, "no such bucket")])
async def test_a_permanent_error_ends_the_worker_at_once(
    uri: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    bench = Bench(documents(5000), limit=8, token_seconds=0.2, store=uri)
    outage = Outage(monkeypatch, lambda _, name: error if name in WRITES else None)
    failure = await bench.fail()
    assert failure.failure.reason is Reason.OUTPUT_NOT_WRITABLE
    assert failure.exit_code is ExitCode.INTERNAL
    # The commit that met it, and the last one of what had finished since.
    assert outage.failures == 2
    assert bench.clock.now() - 1000 < 30
    assert bench.progress.report().commit_failures == 0


async def test_sigterm_in_an_outage_that_ends_in_time_loses_nothing(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(documents(5000), limit=8, token_seconds=0.2, grace=25.0, store=uri)
    outage = Outage(monkeypatch, writes_fail(bench))

    async def stop() -> None:
        # Late in the outage, where the pauses between attempts are longer than the grace period.
        await bench.engine.reached(requests=300)
        outage.fails = writes_fail(bench, until=20)
        bench.loop.request_stop()

    error, _ = await asyncio.gather(bench.fail(), stop())
    assert error.failure.reason is Reason.PREEMPTED
    assert "finished samples are committed" in error.failure.message
    assert segment_rows(uri).total() == bench.engine.answered == len(bench.engine.requests) >= 300


async def test_sigterm_in_an_outage_that_goes_on_ends_within_the_grace_period(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(documents(5000), limit=8, token_seconds=0.2, grace=25.0, store=uri)
    outage = Outage(monkeypatch, writes_fail(bench))
    tries = []

    async def stop() -> float:
        await bench.engine.reached(requests=300)
        tries.append(outage.failures)
        bench.loop.request_stop()
        return bench.clock.now()

    error, stopped = await asyncio.gather(bench.fail(), stop())
    assert (error.failure.reason, error.exit_code) == (Reason.PREEMPTED, ExitCode.PREEMPTED)
    assert f"{bench.engine.answered} finished samples are lost" in error.failure.message
    assert 24 <= bench.clock.now() - stopped <= 27
    assert outage.failures - tries[0] >= 5, "it has to go on trying"
    assert segment_rows(uri).total() == 0


async def test_generation_stops_when_the_memory_for_samples_is_full_and_goes_on_after_the_outage(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "UNCOMMITTED_BYTES", 60 * commits.SAMPLE_BYTES)
    bench = Bench(documents(200), limit=8, token_seconds=0.2, hang_timeout=60.0, store=uri)
    outage = Outage(monkeypatch, writes_fail(bench, until=OUTAGE_SECONDS - 60))
    made_in_the_outage = 0
    store = Store(uri)

    def look() -> None:
        nonlocal made_in_the_outage
        if not store.list(layout.segments_dir(0)):
            made_in_the_outage = len(bench.engine.requests)

    bench.engine.on_request = look
    await bench.run()
    assert outage.failures > 10
    assert segment_rows(uri) == dict.fromkeys(keys(200), 1)
    # Two times the limit, since the commit under way holds as many, and the requests in flight.
    assert 60 < made_in_the_outage <= 2 * 60 + 20


class StuckStore:
    """Keeps every put, until it is released or for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
        self._bench = bench
        self._release = threading.Event()

        def stuck(_: int, name: str) -> Fault:
            if name in WRITES and not self._release.is_set():
                bench.clock.wait(1e9, self._release)
            return None

        Outage(monkeypatch, stuck)

    async def release(self) -> None:
        self._release.set()
        await self._bench.clock.run(self._bench.clock.sleep(5.0))


async def test_a_store_that_never_answers_ends_the_worker(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "UNCOMMITTED_BYTES", 60 * commits.SAMPLE_BYTES)
    bench = Bench(documents(5000), limit=8, token_seconds=0.2, store=uri)
    stuck = StuckStore(monkeypatch, bench)
    error = await bench.fail()
    assert (error.failure.reason, error.exit_code) == (Reason.OUTPUT_NOT_WRITABLE, ExitCode.INTERNAL)
    assert "has not answered a commit for 900 s" in error.failure.message
    assert commits.STUCK_SECONDS <= bench.clock.now() - 1000 <= commits.STUCK_SECONDS + 30
    assert bench.engine.closed
    await stuck.release()


@pytest.mark.parametrize("requests", [300, 5000], ids=["in mid-shard", "at the end"])
async def test_sigterm_with_a_store_that_never_answers_ends_before_the_kill(
    uri: str, monkeypatch: pytest.MonkeyPatch, requests: int
) -> None:
    bench = Bench(documents(2500), limit=64, token_seconds=0.2, grace=25.0, store=uri)
    stuck = StuckStore(monkeypatch, bench)

    async def stop() -> float:
        await bench.engine.reached(requests=requests)
        if requests == 5000:
            await bench.engine.reached(answered=requests)
        bench.loop.request_stop()
        return bench.clock.now()

    error, stopped = await asyncio.gather(bench.fail(), stop())
    assert error.failure.reason is Reason.PREEMPTED
    assert f"{bench.engine.answered} finished samples are lost" in error.failure.message
    assert bench.clock.now() - stopped <= 25 + 10, "SIGKILL"
    await stuck.release()


async def test_looking_for_a_twin_survives_an_outage(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(documents(40), limit=8, token_seconds=0.2, store=uri)
    outage = Outage(monkeypatch, lambda number, name: down() if name == "cat_file" and number < 9 else None)
    await bench.run()
    assert outage.failures > 3
    assert segment_rows(uri) == dict.fromkeys(keys(40), 1)
    assert bench.progress.report().commit_failures == 0


async def test_errors_that_need_no_engine_survive_an_outage(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(documents(40, broken=range(40)), store=uri)
    Outage(monkeypatch, writes_fail(bench, until=120))
    await bench.run()
    assert bench.engines_made == 0
    assert segment_rows(uri) == dict.fromkeys(keys(40), 1)


async def test_an_engine_that_dies_in_an_outage_takes_nothing_finished_with_it(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(documents(200), limit=8, token_seconds=0.2, die_after=100, store=uri)
    Outage(monkeypatch, writes_fail(bench, until=OUTAGE_SECONDS - 60))
    error = await bench.fail()
    assert error.failure.reason is Reason.ENGINE_FAILED
    assert segment_rows(uri).total() == bench.engine.answered >= 100
