"""Policy: a job fails when nothing of it could start for `failurePolicy.pendingDeadlineSeconds`.

Kubernetes never gives up on a pod that can't start, so the operator has to. The deadline counts from the
moment at which nothing ran any more although something should. The status keeps that moment, because what
exists now does not show it. The age of a pending pod, for example, says nothing while another pod runs: with
two workers and one GPU, the second pod waits for as long as the first one's shard takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rephrase_operator.api.policies import FailurePolicy
from rephrase_operator.observed.views import PodView

BACKOFF = timedelta(minutes=10)
"""The longest time that Kubernetes waits before it tries a failed pod again. Nothing should run meanwhile."""


@dataclass(frozen=True)
class StartDeadline:
    """The verdict."""

    nothing_runs_since: datetime | None
    """For the status."""
    exceeded: bool


def judge(
    policy: FailurePolicy,
    nothing_runs_since: datetime | None,
    pods: Sequence[PodView],
    now: datetime,
    *,
    wanted: bool,
    advanced: bool = False,
) -> StartDeadline:
    """Judge the pods of a step.

    `wanted`: something should run; the job is neither suspended nor scaled to zero. `advanced`: shards were
    finished since the last pass, so something has run even if its pods are gone.
    """
    if not wanted or any(_runs(pod, now) for pod in pods) or _backs_off(pods, now):
        return StartDeadline(None, exceeded=False)
    # Pods may have run and ended between two passes: the operator was down, or they were short.
    ran_until = [pod.ended or pod.started for pod in pods if pod.started]
    moments = [nothing_runs_since, now if advanced else None, *ran_until]
    # The clocks of nodes and of earlier operators may be ahead of this one.
    since = min(now, max((moment for moment in moments if moment is not None), default=now))
    if nothing_runs_since is None:
        since = now
    limit = timedelta(seconds=policy.pending_deadline_seconds)
    return StartDeadline(since, exceeded=now - since >= limit)


def _runs(pod: PodView, now: datetime) -> bool:
    """A worker that was told to stop runs until its grace period is over.

    The pod of a lost node says that it runs for ever.
    """
    if pod.phase != "Running":
        return False
    return pod.gone_by is None or now < pod.gone_by


def _backs_off(pods: Sequence[PodView], now: datetime) -> bool:
    """True while Kubernetes waits before it starts a failed pod's successor."""
    if any(pod.phase in ("Pending", "Unknown") and not pod.deleting for pod in pods):
        return False
    failed = [pod.ended or pod.created for pod in pods if pod.phase == "Failed"]
    return bool(failed) and now - max(failed) < BACKOFF
