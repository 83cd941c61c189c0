"""What finished pods said, taken into the status once.

Pods vanish: they are garbage collected, their nodes die, suspending deletes them. So what a finished
shard's pod said is added to the account in the status the first time it is seen, and the account
remembers which shards are in it. Failed attempts are counted here as well, because suspending a Job makes
Kubernetes forget its own count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from rephrase_operator.api.status import (
    ERROR_CODES_LIMIT,
    FAILURES_LIMIT,
    PODS_LIMIT,
    FinishedShards,
    ShardFailure,
)
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.views import PodView, read_failure, read_report
from rephrase_worker.spec import ShardReport


def fold(account: FinishedShards, pods: Iterable[PodView]) -> FinishedShards:
    """The account with the shards added whose pod succeeded and that were not in it yet."""
    inside = Intervals.parse(account.shards)
    sums = account.model_dump(exclude={"shards", "errors"})
    errors = Counter(account.errors)
    added: set[int] = set()
    for pod in pods:
        if pod.phase != "Succeeded" or pod.index is None or pod.index in inside or pod.index in added:
            continue
        report: ShardReport | None = read_report(ShardReport, pod.termination)
        if report is None or report.state != "done":
            continue
        added.add(pod.index)
        errors.update(report.errors)
        sums["documents"] += report.documents_done
        for name in (
            "samples_text",
            "samples_error",
            "prompt_tokens",
            "cached_prompt_tokens",
            "output_tokens",
        ):
            sums[name] += getattr(report, name)
        if pod.started and pod.ended:
            sums["worker_seconds"] += (pod.ended - pod.started).total_seconds()
    if not added:
        return account
    return FinishedShards(
        shards=str(inside | Intervals(added)), errors=dict(errors.most_common(ERROR_CODES_LIMIT)), **sums
    )


def count_failures(
    failures: Iterable[ShardFailure], pods: Iterable[PodView], abandoned: Intervals
) -> list[ShardFailure]:
    """Failures with the attempts added that ended after the last one counted, and abandoned shards marked.

    An entry remembers the time at which the last attempt ended, and the pods that ended then (times have no
    fractions): what is older, or among those pods, was counted already.
    """
    by_shard = {failure.shard: failure for failure in failures}
    for pod in sorted(pods, key=_end):
        if not pod.counts_as_failure or pod.index is None:
            continue
        known, ended = by_shard.get(pod.index), _end(pod)
        together = known.pods if known is not None and known.time == ended else []
        if (known is not None and ended < known.time) or pod.name in together:
            continue
        reason, message = explain(pod)
        by_shard[pod.index] = ShardFailure(
            shard=pod.index,
            attempts=(known.attempts if known else 0) + 1,
            reason=reason,
            message=message,
            time=ended,
            pods=[*together, pod.name][-PODS_LIMIT:],
        )
    marked = [
        failure.model_copy(update={"failed": failure.shard in abandoned}) for failure in by_shard.values()
    ]
    worst = sorted(marked, key=lambda failure: (not failure.failed, -failure.attempts, failure.shard))
    return sorted(worst[:FAILURES_LIMIT], key=lambda failure: failure.shard)


def explain(pod: PodView) -> tuple[str, str]:
    """Why a pod failed: what its worker said, else what Kubernetes says."""
    failure = read_failure(pod.termination)
    if failure is not None:
        return failure.reason.value, failure.message[:1024]
    reason = pod.end_reason or "Killed"
    if reason == "Error":
        reason = "Killed" if (pod.exit_code or 0) > 128 else "WorkerFailed"
    code = "without an exit code" if pod.exit_code is None else f"with exit code {pod.exit_code}"
    return (
        reason,
        f"The worker ended {code} ({reason}). What it had committed is kept; see its log: {pod.name}.",
    )


def reset_attempts(failures: Iterable[ShardFailure]) -> list[ShardFailure]:
    """Failures with their attempts set back.

    What the workers run with has changed, so they get another chance. The times stay, so that the same pods
    are not counted again.
    """
    return [failure.model_copy(update={"attempts": 0, "failed": False}) for failure in failures]


def exhausted(failures: Iterable[ShardFailure], max_attempts: int) -> Intervals:
    """Shards that had all their attempts, whatever Kubernetes still remembers of them."""
    return Intervals(failure.shard for failure in failures if failure.attempts >= max_attempts)


def _end(pod: PodView) -> datetime:
    return pod.ended or pod.created
