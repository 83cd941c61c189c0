"""The running account, the token rate and the watchdog: pure functions of time handed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.generate.watchdog import Watchdog
from rephrase_worker.generate.window import default_limit
from rephrase_worker.report.progress import ShardProgress, TokenRate
from rephrase_worker.samples import Sample
from rephrase_worker.spec import Failure, Reason, ShardReport, WorkerError


def sample(*, error: str | None = None, tokens: int = 10, text: str = "text") -> Sample:
    return Sample(
        id="id",
        source_file="a",
        source_position=0,
        rollout=0,
        text=None if error else text,
        error=error,
        finish_reason=None if error else "stop",
        prompt_tokens=0 if error else 100,
        cached_prompt_tokens=0 if error else 64,
        output_tokens=0 if error else tokens,
        truncated=False,
        prompt="faq",
        prompt_hash="hash",
        model="model",
        revision=None,
        seed=None,
    )


class Time:
    def __init__(self) -> None:
        self.seconds = 500.0

    def __call__(self) -> float:
        return self.seconds


@given(rate=st.integers(1, 50_000), seconds=st.integers(2, 200))
def test_a_steady_engine_has_its_rate_from_the_second_tick_on(rate: int, seconds: int) -> None:
    tokens = TokenRate()
    for second in range(seconds):
        tokens.observe(float(second), second * rate)
    assert tokens.per_second() == pytest.approx(rate)


def test_the_rate_forgets_what_is_older_than_half_a_minute() -> None:
    tokens = TokenRate()
    for second in range(100):
        tokens.observe(float(second), 1000 * min(second, 60))
    assert tokens.per_second() == 0.0


def test_there_is_no_rate_before_the_second_look() -> None:
    tokens = TokenRate()
    assert tokens.per_second() == 0.0
    tokens.observe(1.0, 100)
    assert tokens.per_second() == 0.0


def test_a_report_adds_what_earlier_pods_committed_and_a_snapshot_does_not() -> None:
    progress = ShardProgress(shard=3, pod_uid="uid", now=Time())
    progress.planned(10)
    progress.resumed(
        ShardReport(
            shard=3,
            documents_done=4,
            samples_text=7,
            samples_empty=2,
            samples_error=1,
            errors={"empty_text": 1},
            output_tokens=70,
            prompt_tokens=700,
        )
    )
    progress.finished([sample(), sample(error="empty_text: the text is empty"), sample(text=" \n")])
    progress.document_finished()
    report = progress.report()
    assert (report.documents_done, report.samples_text, report.samples_error) == (5, 9, 2)
    assert report.samples_empty == 3
    assert (report.errors, report.output_tokens, report.prompt_tokens) == ({"empty_text": 2}, 90, 900)
    snapshot = progress.snapshot()
    assert (snapshot.documents, snapshot.prompt_tokens) == (1, 200)
    assert snapshot.outcomes == {("faq", "text"): 2, ("faq", "error"): 1}


def test_a_report_names_the_sixteen_most_frequent_errors() -> None:
    progress = ShardProgress(shard=0, pod_uid="", now=Time())
    for number in range(30):
        progress.finished([sample(error=f"code_{number}: sentence")] * (number + 1))
    errors = progress.report().errors
    assert len(errors) == 16
    assert min(errors.values()) == 15


def test_engine_seconds_run_while_the_engine_does() -> None:
    time = Time()
    progress = ShardProgress(shard=0, pod_uid="", now=time)
    time.seconds += 60
    assert progress.report().engine_seconds == 0.0
    generated = [0]
    progress.engine_ready(lambda: generated[0])
    progress.enter("generating", "")
    for _ in range(20):
        time.seconds += 1
        generated[0] += 250
        progress.tick()
    assert progress.report().engine_seconds == 20.0
    assert progress.report().tokens_per_second == 250.0
    progress.engine_closed()
    time.seconds += 100
    generated[0] = 0
    assert progress.snapshot().engine_seconds == 20.0
    assert progress.snapshot().generated_tokens == 5000


def test_a_store_that_fails_is_the_step_until_it_works_again() -> None:
    time = Time()
    progress = ShardProgress(shard=0, pod_uid="", now=time)
    progress.enter("generating", "stopping")
    progress.store_failed(writing=True)
    time.seconds += 40
    progress.store_failed(writing=True)
    progress.store_failed(writing=False)
    assert progress.report().step == "the output fails, for 40 s now"
    assert progress.report().commit_failures == 2
    progress.store_works()
    assert (progress.report().step, progress.report().commit_failures) == ("stopping", 2)


def test_the_watchdog_waits_for_its_timeout_without_tokens() -> None:
    watchdog = Watchdog(timeout=60.0, now=0.0)
    watchdog.check(now=0.0, tokens=5, in_flight=3)
    watchdog.check(now=59.0, tokens=5, in_flight=3)
    with pytest.raises(WorkerError) as caught:
        watchdog.check(now=60.0, tokens=5, in_flight=3)
    assert caught.value.failure.reason is Reason.ENGINE_HANGS


def test_a_token_or_an_idle_engine_calms_the_watchdog() -> None:
    watchdog = Watchdog(timeout=60.0, now=0.0)
    watchdog.check(now=0.0, tokens=5, in_flight=3)
    watchdog.check(now=50.0, tokens=6, in_flight=3)
    watchdog.check(now=100.0, tokens=6, in_flight=0)
    watchdog.check(now=1000.0, tokens=6, in_flight=0)
    watchdog.check(now=1050.0, tokens=6, in_flight=1)
    watchdog.check(now=1059.0, tokens=6, in_flight=1)


def test_only_a_hang_makes_the_worker_unhealthy() -> None:
    progress = ShardProgress(shard=0, pod_uid="", now=Time())
    progress.failed(Failure(reason=Reason.ENGINE_FAILED, message="died"), hangs=False)
    assert progress.healthy
    progress.failed(Failure(reason=Reason.ENGINE_HANGS, message="hangs"), hangs=True)
    assert not progress.healthy


@given(st.integers(1, 5000))
def test_the_window_is_a_little_above_what_the_scheduler_runs(sequences: int) -> None:
    assert sequences < default_limit(sequences) <= sequences + max(8, sequences / 8)
