"""Adds the reports of ended pods to the account in the status, each of them once.

Pods vanish: they are garbage collected, their nodes die, suspending deletes them. So the report of a finished
shard's pod is added to the account in the status the first time that it is seen, and the account remembers
which shards are in it.

A report covers the whole shard, including samples that earlier pods committed. Rates need what a pod made
itself, over its own seconds. Otherwise a pod that finishes what another one has begun would look many times
as fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rephrase_operator.api.bounds import shortened
from rephrase_operator.api.status import ERROR_CODES_LIMIT, FinishedShards
from rephrase_operator.observed import quality, tally
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.views import PodView, read_failure, termination_report
from rephrase_worker.spec import ShardReport

COUNTS = (
    "samples_text",
    "samples_error",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
)
"""Counts that reports and account have under the same name."""


EXPLANATION_LIMIT = 1024
"""Most characters of a worker's message about its failure. The status holds many such messages."""

REASON_LIMIT = 64
"""Most characters of a kubelet's reason."""


def fold(account: FinishedShards, pods: Iterable[PodView], ended: Iterable[PodView]) -> FinishedShards:
    """The account with the shards added whose pod succeeded and that were not in it yet.

    `ended` are pods that ended without success and are not in it yet either: their time and the tokens
    that they generated belong to the rates.
    """
    inside = Intervals.parse(account.shards)
    sums = account.model_dump(exclude={"shards", "errors", "quality"})
    errors = Counter(account.errors)
    texts: list[quality.Quality] = [account.quality]
    added: set[int] = set()
    for pod in pods:
        if pod.phase != "Succeeded" or pod.index is None or pod.index in inside or pod.index in added:
            continue
        report: ShardReport | None = termination_report(ShardReport, pod.termination)
        if report is None or report.state != "done":
            continue
        added.add(pod.index)
        errors.update(report.errors)
        texts.append(report.quality)
        sums["documents"] += report.documents_done
        for name in COUNTS:
            sums[name] += getattr(report, name)
        _add_own(sums, pod, report)
    failed = list(ended)
    for pod in failed:
        _add_own(sums, pod, termination_report(ShardReport, pod.termination))
    if not added and not failed:
        return account
    return FinishedShards(
        shards=str(inside | Intervals(added)),
        errors=tally.grown(account.errors, errors, total=sums["samples_error"], limit=ERROR_CODES_LIMIT),
        quality=quality.add(texts),
        **sums,
    )


def _add_own(sums: dict[str, float], pod: PodView, report: ShardReport | None) -> None:
    """Add what a pod made itself and the time that it took. Adds neither if the pod never ran."""
    if pod.started and pod.ended:
        sums["worker_seconds"] += max(0.0, (pod.ended - pod.started).total_seconds())
        sums["generated_tokens"] += report.generated_tokens if report is not None else 0


def explain(pod: PodView) -> tuple[str, str]:
    """Why a pod failed: its worker's report or, without one, what Kubernetes says."""
    failure = read_failure(pod.termination)
    if failure is not None:
        return str(failure.reason), failure.message[:EXPLANATION_LIMIT]
    reason = shortened(pod.end_reason or "Killed", REASON_LIMIT)
    if reason == "Error":
        reason = "Killed" if (pod.exit_code or 0) > 128 else "WorkerFailed"
    code = "without an exit code" if pod.exit_code is None else f"with exit code {pod.exit_code}"
    return (
        reason,
        f"The worker ended {code} ({reason}). Its commits are kept; see its log: {pod.name}.",
    )
