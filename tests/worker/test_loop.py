"""The generation loop on a simulated engine, in virtual time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest
from datatrove.data import Document
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.columns import Carried
from rephrase_worker.generate import commits
from rephrase_worker.generate.commits import TwinFinishedError
from rephrase_worker.samples import Sample
from rephrase_worker.spec import ExitCode, Prompt, Reason, WorkerError
from tests.worker.loop_bench import Bench, MemorySink, documents, keys


async def test_every_document_becomes_a_row_per_prompt_and_rollout() -> None:
    bench = Bench(documents(50), rollouts=3)
    await bench.run()
    assert len(bench.sink.samples) == 50 * 2 * 3
    assert bench.sink.keys == keys(50, rollouts=3)
    assert bench.loop.positions == [("a.parquet", number) for number in range(50)]
    assert all(sample.text and sample.revision == "abc" for sample in bench.sink.samples)
    assert bench.engine.closed


async def test_committed_samples_are_not_generated_again() -> None:
    first = Bench(documents(20), die_after=15)
    await first.fail()
    committed = len(first.sink.keys)
    assert committed >= 15
    second = Bench(documents(20), sink=first.sink)
    await second.run()
    assert len(second.engine.requests) == 40 - committed
    assert Counter(sample.key for sample in second.sink.samples) == dict.fromkeys(keys(20), 1)
    assert len(second.loop.positions) == 20


async def test_a_broken_document_is_an_error_row_for_every_prompt() -> None:
    bench = Bench(documents(6, broken=[0, 3, 5]))
    await bench.run()
    errors = {sample.key for sample in bench.sink.samples if sample.error}
    assert errors == {key for key in keys(6) if key.source_position in (0, 3, 5)}
    assert bench.progress.report().errors == {"missing_text": 6}
    assert len(bench.engine.requests) == 6


async def test_no_engine_is_started_when_no_document_needs_it() -> None:
    bench = Bench(documents(4, broken=range(4)))
    await bench.run()
    assert bench.engines_made == 0
    assert bench.sink.keys == keys(4)
    again = Bench(documents(4), sink=bench.sink)
    await again.run()
    assert again.engines_made == 0
    assert len(again.loop.positions) == 4


async def test_errors_are_committed_as_they_come_also_before_any_engine_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commits, "COMMIT_BYTES", 10 * commits.SAMPLE_BYTES)
    bench = Bench(documents(100, broken=range(100)))
    await bench.run()
    assert bench.sink.keys == keys(100)
    assert max(map(len, bench.sink.commits)) == 10


async def test_carried_columns_count_for_the_memory_that_samples_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commits, "COMMIT_BYTES", 10 * commits.SAMPLE_BYTES)
    heavy = documents(20, broken=range(20))
    batch = pa.RecordBatch.from_pydict({"page": ["x" * 4 * commits.SAMPLE_BYTES] * 20})
    for row, document in enumerate(heavy):
        document.metadata["carried"] = Carried(batch, row)
    bench = Bench(heavy)
    await bench.run()
    assert bench.sink.keys == keys(20)
    assert max(map(len, bench.sink.commits)) == 2, "five times the bytes of a sample without them"


async def test_all_prompts_of_a_document_go_in_together() -> None:
    bench = Bench(documents(30), prompts=("faq", "math", "table"), limit=4, token_seconds=0.1)
    await bench.run()
    admitted = [tuple(request.prompt_token_ids[-4:]) for request in bench.engine.requests]
    assert all(len(set(admitted[start : start + 3])) == 1 for start in range(0, 90, 3))


async def test_the_window_of_requests_stays_within_its_limit_and_a_document() -> None:
    seen: list[int] = []
    bench = Bench(documents(60), rollouts=2, limit=10, token_seconds=0.1)

    bench.engine.on_request = lambda: seen.append(bench.progress.report().in_flight)
    await bench.run()
    assert max(seen) <= 10 + 2 * 2 - 1
    assert bench.progress.report().in_flight == 0


async def test_finished_samples_are_committed_at_intervals() -> None:
    bench = Bench(documents(40), limit=8, token_seconds=0.2)
    await bench.run()
    assert len(bench.sink.commits) > 3
    assert bench.progress.report().commits == len(bench.sink.commits)


async def test_generation_goes_on_while_the_store_is_slow() -> None:
    bench = Bench(documents(40), limit=8, token_seconds=0.2)
    release = threading.Event()
    plain = bench.sink.commit

    def commit(samples: Sequence[Sample]) -> None:
        bench.clock.wait(1e9, release)
        plain(samples)

    bench.sink.commit = commit  # type: ignore[method-assign]

    async def release_when_all_is_answered() -> None:
        await bench.engine.reached(answered=80)
        release.set()

    await asyncio.gather(bench.run(), release_when_all_is_answered())
    assert bench.sink.keys == keys(40)


async def test_a_request_that_fails_is_an_error_row_with_its_reason() -> None:
    bench = Bench(documents(10), fail_every=4)
    await bench.run()
    errors = [sample.error for sample in bench.sink.samples if sample.error]
    assert len(errors) == 5
    assert all(error.startswith("engine_error: simulated failure") for error in errors)
    report = bench.progress.report()
    assert (report.samples_text, report.samples_error) == (15, 5)
    assert report.documents_done == 10


async def test_a_dead_engine_ends_the_worker_after_a_commit() -> None:
    bench = Bench(documents(100), die_after=30, limit=8, token_seconds=0.01)
    error = await bench.fail()
    assert error.failure.reason is Reason.ENGINE_FAILED
    assert error.exit_code is ExitCode.ENGINE
    assert len(bench.sink.samples) == bench.engine.answered >= 30
    assert bench.engine.closed


async def test_an_engine_that_makes_no_token_is_found_by_the_watchdog() -> None:
    bench = Bench(documents(100), hang_after=30, limit=8, hang_timeout=300.0)
    error = await bench.fail()
    assert error.failure.reason is Reason.ENGINE_HANGS
    assert error.exit_code is ExitCode.ENGINE
    assert 300.0 <= bench.clock.now() - bench.engine.last_answer <= 300.0 + 2
    assert not bench.progress.healthy
    assert len(bench.sink.samples) == 30


async def test_a_slow_engine_is_not_taken_for_a_hanging_one() -> None:
    bench = Bench(documents(3), hang_timeout=300.0, token_seconds=290.0, output_tokens=5)
    await bench.run()
    assert bench.sink.keys == keys(3)


async def test_sigterm_lets_requests_in_flight_finish_within_the_grace_period() -> None:
    bench = Bench(documents(100), limit=8, token_seconds=0.1, grace=25.0)
    error, _ = await asyncio.gather(bench.fail(), bench.stop_when(40))
    assert error.failure.reason is Reason.PREEMPTED
    assert error.exit_code is ExitCode.PREEMPTED
    assert len(bench.sink.samples) == len(bench.engine.requests)
    assert 40 <= len(bench.engine.requests) <= 48


async def test_sigterm_gives_up_requests_that_take_longer_than_the_grace_period() -> None:
    bench = Bench(documents(100), limit=8, token_seconds=10.0, grace=25.0)
    started = bench.clock.now()
    error, _ = await asyncio.gather(bench.fail(), bench.stop_when(16))
    assert error.failure.reason is Reason.PREEMPTED
    assert len(bench.sink.samples) == 8
    assert bench.clock.now() - started <= 32 * 10 + 25 + 1


async def test_sigterm_after_the_last_document_was_admitted_still_finishes_the_shard() -> None:
    bench = Bench(documents(3), token_seconds=0.1)
    await asyncio.gather(bench.run(), bench.stop_when(6))
    assert bench.sink.keys == keys(3)


async def test_an_engine_that_dies_of_the_same_sigterm_is_a_preemption() -> None:
    bench = Bench(documents(100), limit=8, token_seconds=1.0, die_after=20)
    error, _ = await asyncio.gather(bench.fail(), bench.stop_when(20))
    assert error.failure.reason is Reason.PREEMPTED


async def test_a_worker_ends_when_a_twin_has_finished_the_shard() -> None:
    bench = Bench(documents(500), limit=8, token_seconds=0.2)
    bench.sink.twin_finished = True
    with pytest.raises(TwinFinishedError):
        await bench.run()
    assert len(bench.engine.requests) < 100
    assert bench.engine.closed


async def test_a_failing_store_ends_the_worker_with_its_error() -> None:
    bench = Bench(documents(500), limit=8, token_seconds=0.2)

    def commit(samples: Sequence[Sample]) -> None:
        raise WorkerError(Reason.OUTPUT_NOT_WRITABLE, "the disk is full")

    bench.sink.commit = commit  # type: ignore[method-assign]
    error = await bench.fail()
    assert error.failure.message == "the disk is full"
    assert len(bench.engine.requests) < 500


async def test_a_source_that_changed_ends_the_worker_after_a_commit() -> None:
    def changing() -> Iterator[Document]:
        yield from documents(40)
        raise WorkerError(Reason.SOURCE_CHANGED, "a.parquet has changed")

    bench = Bench(changing(), limit=4)
    error = await bench.fail()
    assert error.failure.reason is Reason.SOURCE_CHANGED
    assert len(bench.sink.samples) == bench.engine.answered > 0


async def test_a_defect_in_the_reader_is_raised_as_it_is() -> None:
    def defective() -> Iterator[Document]:
        yield from documents(3)
        raise ZeroDivisionError

    bench = Bench(defective())
    with pytest.raises(ZeroDivisionError):
        await bench.run()


async def test_seeds_belong_to_samples_and_stay_the_same() -> None:
    first, second = Bench(documents(5), seed=7), Bench(documents(5), seed=7)
    other = Bench(documents(5), seed=8)
    for bench in (first, second, other):
        await bench.run()
    seeds = [{sample.key: sample.seed for sample in bench.sink.samples} for bench in (first, second, other)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert len(set(seeds[0].values())) == 10
    assert sorted(filter(None, seeds[0].values())) == sorted(
        request.seed for request in first.engine.requests if request.seed is not None
    )


async def test_an_instruction_that_leaves_no_room_is_refused_before_any_request() -> None:
    bench = Bench(documents(3), prompts=("faq",))
    bench.recipe = bench.recipe.model_copy(
        update={"prompts": [Prompt(name="faq", template="a " * 8180 + "{{document}}")]}
    )
    error = await bench.fail()
    assert error.exit_code is ExitCode.USAGE
    assert "faq" in error.failure.message
    assert bench.engine.requests == []


@given(
    count=st.integers(0, 25),
    broken=st.sets(st.integers(0, 24)),
    rollouts=st.integers(1, 3),
    limit=st.integers(1, 20),
    crashes=st.lists(st.integers(0, 30), max_size=4),
)
def test_any_sequence_of_crashes_ends_with_every_key_once(
    count: int, broken: set[int], rollouts: int, limit: int, crashes: list[int]
) -> None:
    sink = MemorySink()

    async def attempt(die_after: int | None) -> Reason | None:
        bench = Bench(
            documents(count, broken=broken),
            sink=sink,
            rollouts=rollouts,
            limit=limit,
            die_after=die_after,
            output_tokens=2,
        )
        try:
            await bench.run()
        except WorkerError as error:
            return error.failure.reason
        return None

    assert {asyncio.run(attempt(crash)) for crash in crashes} <= {None, Reason.ENGINE_FAILED}
    assert asyncio.run(attempt(None)) is None
    assert Counter(sample.key for sample in sink.samples) == dict.fromkeys(keys(count, rollouts=rollouts), 1)
