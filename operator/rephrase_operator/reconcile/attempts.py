"""Policy: a shard is abandoned when `failurePolicy.maxAttemptsPerShard` attempts at it have failed.

The operator has a count of its own, because suspending a Job makes Kubernetes reset its count. The status
also holds what the count is valid for: the Job whose pods were counted, and the engine's settings that they
ran with. With other settings or another Job, every shard gets all its attempts again. That follows from
comparing the status with the cluster, so it can't be lost between an action and the write of the status.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rephrase_operator.api.policies import FailurePolicy
from rephrase_operator.api.status import (
    ENDED_LIMIT,
    FAILURES_LIMIT,
    NODES_LIMIT,
    PODS_LIMIT,
    REASONS_LIMIT,
    FinishedShards,
    RephraseJobStatus,
    ShardAttempts,
    ShardFailure,
)
from rephrase_operator.observed import ledger, tally
from rephrase_operator.observed.accounting import explain
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.ledger import Ledger
from rephrase_operator.observed.views import JobView, PodView


@dataclass(frozen=True)
class Attempts:
    """The verdict."""

    attempts: ShardAttempts
    """For the status."""
    failures: list[ShardFailure]
    """For the status: the shards with the most attempts, and the reason of their last failure."""
    ended: tuple[PodView, ...]
    """Pods that ended without success and were not counted before."""
    failed_indexes: Intervals
    """Shards that Kubernetes has failed: they are never tried again."""
    exhausted: Intervals
    """Open shards that have used all their attempts and have no running pod. Kubernetes may not know that."""


def judge(
    policy: FailurePolicy,
    status: RephraseJobStatus,
    child: JobView | None,
    engine: str,
    pods: Sequence[PodView],
    succeeded: Intervals,
) -> Attempts:
    """Count the attempts. `engine` is the text of the engine's settings that starting pods read."""
    known = _current(status.attempts or ShardAttempts(), child, engine)
    failures = {failure.shard: failure for failure in status.failures}
    if status.attempts is not None and _differ(status.attempts, known):
        failures = {shard: _reset(failure) for shard, failure in failures.items()}

    failed_indexes = Intervals(
        shard for shard in (child.failed_indexes if child else ()) if shard not in succeeded
    )
    abandoned = Intervals.parse(known.abandoned)
    account = Intervals.parse((status.account or FinishedShards()).shards)
    counts, ended = ledger.take(ledger.parse(known.ended), pods, account | abandoned)
    counted = [pod for pod in ended if pod.counts_as_failure]
    reasons = []
    for pod in counted:
        if pod.index is not None:
            failure = _failure(failures.get(pod.index), pod, pod.index, counts[pod.index].attempts)
            failures[pod.index] = failure
            reasons.append(failure.reason)

    living = {pod.index for pod in pods if pod.live}
    settled = abandoned | Intervals(shard for shard in failed_indexes if shard not in living)
    running = {pod.index for pod in pods if pod.phase == "Running"}
    exhausted = Intervals(
        shard
        for shard, count in counts.items()
        if count.attempts >= policy.max_attempts_per_shard and shard not in succeeded and shard not in running
    )
    total, nodes = known.failed + len(counted), [pod.node for pod in counted]
    return Attempts(
        attempts=known.model_copy(
            update={
                "ended": ledger.render(_open(counts, settled | succeeded), ENDED_LIMIT),
                "abandoned": str(settled),
                "failed": total,
                "reasons": tally.add(known.reasons, reasons, total=total, limit=REASONS_LIMIT),
                "nodes": tally.add(known.nodes, nodes, total=total, limit=NODES_LIMIT),
            }
        ),
        failures=marked(failures.values(), failed_indexes),
        ended=ended,
        failed_indexes=failed_indexes,
        exhausted=exhausted,
    )


def marked(failures: Iterable[ShardFailure], abandoned: Intervals) -> list[ShardFailure]:
    """The failures to show: those of abandoned shards first, then those with the most attempts."""
    shown = [failure.model_copy(update={"failed": failure.shard in abandoned}) for failure in failures]
    worst = sorted(shown, key=lambda failure: (not failure.failed, -failure.attempts, failure.shard))
    return sorted(worst[:FAILURES_LIMIT], key=lambda failure: failure.shard)


def _current(known: ShardAttempts, child: JobView | None, engine: str) -> ShardAttempts:
    """The counts that are valid for this Job and these settings."""
    if child is not None and child.uid != known.job:
        # Pods of the earlier Job no longer matter.
        known = known.model_copy(update={"job": child.uid, "ended": "", "abandoned": ""})
    digest = hashlib.sha256(engine.encode()).hexdigest()[:16] if engine else known.engine
    if digest == known.engine:
        return known
    # The times at which pods ended are kept, so that the same pods are not counted again. Shards that
    # Kubernetes has failed are kept too.
    counts = {shard: replace(count, attempts=0) for shard, count in ledger.parse(known.ended).items()}
    return known.model_copy(update={"engine": digest, "ended": ledger.render(counts, ENDED_LIMIT)})


def _differ(before: ShardAttempts, now: ShardAttempts) -> bool:
    return (before.job, before.engine) != (now.job, now.engine)


def _reset(failure: ShardFailure) -> ShardFailure:
    return failure.model_copy(update={"attempts": 0, "failed": False})


def _failure(known: ShardFailure | None, pod: PodView, shard: int, attempts: int) -> ShardFailure:
    reason, message = explain(pod)
    return ShardFailure(
        shard=shard,
        attempts=attempts,
        reason=reason,
        message=message,
        time=ledger.end_of(pod),
        pods=[*(known.pods if known else ()), pod.name][-PODS_LIMIT:],
    )


def _open(counts: Mapping[int, ledger.Ended], closed: Intervals) -> Ledger:
    return {shard: count for shard, count in counts.items() if shard not in closed}
