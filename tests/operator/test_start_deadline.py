"""The start deadline: since when does nothing run, and has that been too long?"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rephrase_operator.api.policies import FailurePolicy
from rephrase_operator.observed.views import PodView
from rephrase_operator.reconcile.start_deadline import judge
from tests.operator.pods import at, failed, pending, running, succeeded

POLICY = FailurePolicy(pending_deadline_seconds=1800)


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    pods: tuple[PodView, ...] = ()
    known: float | None = None
    """What the status remembers, in minutes; as all times here."""
    now: float
    wanted: bool = True
    advanced: bool = False
    since: float | None
    exceeded: bool = False


ROWS = [
    Row(name="the clock starts at the first look", pods=(pending(),), now=7, since=7),
    Row(name="no pod at all counts as well", now=7, since=7),
    Row(name="the clock goes on", pods=(pending(),), known=0, now=29, since=0),
    Row(name="the deadline has passed", pods=(pending(),), known=0, now=30, since=0, exceeded=True),
    Row(name="no pod could be made", known=0, now=30, since=0, exceeded=True),
    Row(name="a pod runs", pods=(running(), pending(1)), known=0, now=600, since=None),
    Row(
        name="one GPU and two workers: the first shard ends after an hour",
        pods=(succeeded(0, ended=60), pending(1)),
        now=60,
        since=60,
    ),
    Row(
        name="the same, seen a little later",
        pods=(succeeded(0, ended=60), pending(1)),
        known=60,
        now=61,
        since=60,
    ),
    Row(
        name="a pod that was preempted after an hour",
        pods=(failed(0, ended=60, exit_code=75), pending(0, since=60, name="next")),
        now=61,
        since=61,
    ),
    Row(name="suspended", pods=(pending(),), known=0, now=500, wanted=False, since=None),
    Row(name="resumed after hours", pods=(pending(),), known=None, now=500, since=500),
    Row(
        name="resumed, with what earlier pods left behind",
        pods=(failed(0, ended=5, exit_code=75), pending(0, since=500, name="next")),
        now=500,
        since=500,
    ),
    Row(
        name="the operator was down for an hour while a pod ran",
        pods=(succeeded(0, since=1, ended=59), pending(1)),
        known=0,
        now=60,
        since=59,
    ),
    Row(
        name="the same, and nothing has run for long since",
        pods=(succeeded(0, since=1, ended=59), pending(1)),
        known=0,
        now=90,
        since=59,
        exceeded=True,
    ),
    Row(
        name="a pod ran between two passes",
        pods=(failed(0, since=10, ended=10.1), pending(0, since=10.5, name="next")),
        known=9,
        now=11,
        since=10.1,
    ),
    Row(
        name="a shard was finished, and its pod is gone already",
        pods=(pending(1),),
        known=0,
        now=45,
        advanced=True,
        since=45,
    ),
    Row(
        name="a pod that never started is no sign of life",
        pods=(failed(0, ended=20, ran=False), pending(0, since=21, name="next")),
        known=0,
        now=30,
        since=0,
        exceeded=True,
    ),
    Row(name="a retry waits for its backoff", pods=(failed(0, ended=1),), known=None, now=10, since=None),
    Row(name="a backoff ends after ten minutes", pods=(failed(0, ended=1),), now=11, since=11),
    Row(
        name="one shard waits for its backoff, another one for a node",
        pods=(failed(0, ended=29), pending(1)),
        known=29,
        now=30,
        since=29,
    ),
    Row(
        name="a worker that was told to stop runs on in its grace period",
        pods=(running(gone_by=60),),
        known=0,
        now=59,
        since=None,
    ),
    Row(
        name="a pod on a lost node does not run for ever",
        pods=(running(since=-100, gone_by=0),),
        known=0,
        now=30,
        since=0,
        exceeded=True,
    ),
    Row(name="the clock of an earlier operator was ahead", pods=(pending(),), known=50, now=10, since=10),
    Row(
        name="the clock of a node is ahead",
        pods=(succeeded(0, ended=99), pending(1)),
        known=0,
        now=10,
        since=10,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_deadline(row: Row) -> None:
    known = None if row.known is None else at(row.known)
    verdict = judge(POLICY, known, row.pods, at(row.now), wanted=row.wanted, advanced=row.advanced)
    expected = None if row.since is None else at(row.since)
    assert (verdict.nothing_runs_since, verdict.exceeded) == (expected, row.exceeded)
