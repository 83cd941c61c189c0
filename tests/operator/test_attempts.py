"""Attempts: which pods are counted, for how long the count is valid, and which shards are abandoned."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.api.policies import FailurePolicy
from rephrase_operator.api.status import ENDED_LIMIT, FAILURES_LIMIT, RephraseJobStatus
from rephrase_operator.observed import ledger
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.ledger import Ended
from rephrase_operator.observed.views import JobView, PodView
from rephrase_operator.reconcile.attempts import Attempts, judge
from tests.operator.pods import at, failed, pending, running, succeeded

POLICY = FailurePolicy(max_attempts_per_shard=2)


def child(uid: str = "job-1", failed_indexes: str = "") -> JobView:
    return JobView(
        namespace="default",
        name="books-generate",
        uid=uid,
        job="books",
        step="generate",
        owner_uid="uid-1",
        failed_indexes=Intervals.parse(failed_indexes),
    )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one pass sees."""

    pods: tuple[PodView, ...] = ()
    job: str = "job-1"
    engine: str = "{}"
    failed_indexes: str = ""
    succeeded: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    passes: list[Seen]
    attempts: dict[int, int] = field(default_factory=dict)
    """By shard, as `status.failures` shows them in the end."""
    failed: int | None = None
    """Failed attempts of the whole job; as many as are shown, unless some were reset."""
    exhausted: str = ""
    abandoned: str = ""


FIRST, SECOND = failed(7, ended=1, name="a"), failed(7, ended=2, name="b")

ROWS = [
    Row(name="nothing has happened", passes=[Seen(pods=(running(0), pending(1)))]),
    Row(name="a failure", passes=[Seen(pods=(FIRST,))], attempts={7: 1}),
    Row(name="a failure is counted once", passes=[Seen(pods=(FIRST,))] * 3, attempts={7: 1}),
    Row(
        name="two pods that ended within one second are two attempts",
        passes=[Seen(pods=(FIRST,)), Seen(pods=(FIRST, failed(7, ended=1, since=0.5, name="A")))] * 2,
        attempts={7: 2},
        exhausted="7",
    ),
    Row(name="a worker that was told to stop", passes=[Seen(pods=(failed(7, ended=1, exit_code=75),))]),
    Row(
        name="a pod that is gone stays counted",
        passes=[Seen(pods=(FIRST,)), Seen(), Seen(pods=(SECOND,))],
        attempts={7: 2},
        exhausted="7",
    ),
    Row(
        name="every attempt was made",
        passes=[Seen(pods=(FIRST, SECOND))],
        attempts={7: 2},
        exhausted="7",
    ),
    Row(
        name="one more attempt runs: Kubernetes had forgotten its count in a suspension",
        passes=[Seen(pods=(FIRST, SECOND, running(7, since=3, name="c")))],
        attempts={7: 2},
    ),
    Row(
        name="and has finished the shard",
        passes=[Seen(pods=(FIRST, SECOND)), Seen(pods=(SECOND, succeeded(7, ended=5)), succeeded="7")],
        attempts={7: 2},
    ),
    Row(
        name="one more attempt that can't start changes nothing",
        passes=[Seen(pods=(FIRST, SECOND, pending(7, since=3, name="c")))],
        attempts={7: 2},
        exhausted="7",
    ),
    Row(
        name="Kubernetes has failed the shard",
        passes=[Seen(pods=(FIRST,), failed_indexes="7")] * 2,
        attempts={7: 1},
        abandoned="7",
    ),
    Row(
        name="Kubernetes has failed the shard before its pod is seen to end",
        passes=[
            Seen(pods=(FIRST, running(7, name="b")), failed_indexes="7"),
            Seen(pods=(FIRST, SECOND), failed_indexes="7"),
            Seen(pods=(FIRST, SECOND), failed_indexes="7"),
        ],
        attempts={7: 2},
        abandoned="7",
    ),
    Row(
        name="other settings of the engine give every shard another chance",
        passes=[Seen(pods=(FIRST, SECOND)), Seen(pods=(FIRST, SECOND), engine='{"blockSize": 16}')],
        attempts={7: 0},
        failed=2,
    ),
    Row(
        name="and attempts are counted from there",
        passes=[
            Seen(pods=(FIRST,)),
            Seen(pods=(FIRST,), engine='{"blockSize": 16}'),
            Seen(pods=(FIRST, SECOND), engine='{"blockSize": 16}'),
        ],
        attempts={7: 1},
        failed=2,
    ),
    Row(
        name="but not to a shard that Kubernetes never tries again",
        passes=[
            Seen(pods=(FIRST,), failed_indexes="7"),
            Seen(pods=(FIRST,), failed_indexes="7", engine='{"blockSize": 16}'),
        ],
        attempts={7: 0},
        failed=1,
        abandoned="7",
    ),
    Row(
        name="another Job gives every shard another chance",
        passes=[Seen(pods=(FIRST,), failed_indexes="7"), Seen(job="job-2")],
        attempts={7: 0},
        failed=1,
    ),
    Row(
        name="pods of the next Job are counted, whenever they end",
        passes=[Seen(pods=(SECOND,)), Seen(job="job-2", pods=(failed(7, ended=1.5, name="x"),))],
        attempts={7: 1},
        failed=2,
    ),
    Row(
        name="a failed pod of a finished shard is counted if it is seen together with the end",
        passes=[Seen(pods=(FIRST, succeeded(7, ended=3)), succeeded="7")],
        attempts={7: 1},
    ),
]


def after(passes: list[Seen]) -> tuple[RephraseJobStatus, Attempts]:
    """The status and the last verdict after these passes. The status goes through JSON each time."""
    status, verdict = RephraseJobStatus(), None
    for seen in passes:
        job = child(seen.job, seen.failed_indexes)
        done = Intervals.parse(seen.succeeded)
        verdict = judge(POLICY, status, job, seen.engine, seen.pods, done)
        update = {"attempts": verdict.attempts, "failures": verdict.failures}
        status = RephraseJobStatus.model_validate(status.model_copy(update=update).to_api())
    assert verdict is not None
    return status, verdict


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attempts(row: Row) -> None:
    status, verdict = after(row.passes)
    assert {failure.shard: failure.attempts for failure in status.failures} == row.attempts
    assert status.attempts is not None
    assert status.attempts.failed == (sum(row.attempts.values()) if row.failed is None else row.failed)
    assert (str(verdict.exhausted), str(verdict.failed_indexes)) == (row.exhausted, row.abandoned)
    assert {failure.shard for failure in status.failures if failure.failed} == set(
        Intervals.parse(row.abandoned)
    )


def test_a_status_that_was_not_written_loses_no_reset() -> None:
    """The ConfigMap has new settings, but the write of the status met a conflict: the next pass resets."""
    status, _ = after([Seen(pods=(FIRST, SECOND))])
    for _ in range(2):
        verdict = judge(POLICY, status, child(), '{"blockSize": 16}', (FIRST, SECOND), Intervals())
        assert [failure.attempts for failure in verdict.failures] == [0]


def test_a_hundred_failing_shards_are_counted_exactly_and_the_worst_are_explained() -> None:
    shards = range(100)
    first = tuple(failed(shard, ended=1, name=f"{shard}-1") for shard in shards)
    second = tuple(failed(shard, ended=2, name=f"{shard}-2") for shard in shards)
    status, verdict = after([Seen(pods=first), Seen(pods=first), Seen(pods=first + second)])
    assert status.attempts is not None
    assert (status.attempts.failed, status.attempts.reasons) == (200, {"WorkerFailed": 200})
    assert len(verdict.exhausted) == 100
    assert [failure.attempts for failure in status.failures] == [2] * FAILURES_LIMIT
    status, verdict = after(
        [
            Seen(pods=first),
            Seen(pods=first, engine="new"),
            Seen(pods=first + second, engine="new"),
        ]
    )
    assert len(verdict.exhausted) == 0, "every one of them was reset, not only those that are explained"
    counts = ledger.parse(verdict.attempts.ended)
    assert {count.attempts for count in counts.values()} == {1}


@given(
    st.dictionaries(
        st.integers(0, 99_999),
        st.builds(
            Ended,
            attempts=st.integers(0, 100),
            last=st.integers(-(10**6), 10**6).map(at).map(lambda time: time.replace(microsecond=0)),
            together=st.integers(1, 9),
        ),
        max_size=50,
    )
)
def test_the_ledger_is_read_as_it_was_written(written: dict[int, Ended]) -> None:
    assert ledger.parse(ledger.render(written, ENDED_LIMIT)) == written
    short = ledger.render(written, 100)
    assert len(short) <= 100
    assert ledger.parse(short).items() <= written.items()
