"""Says in one sentence whether a step's pods run and, if they don't, what scheduler and kubelet say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.observed.views import JobView, PodView

PATIENCE = timedelta(minutes=1)
"""If a Job takes longer than this to make its pods, that is reported as a problem."""


@dataclass(frozen=True)
class Readiness:
    """How a step's pods are doing."""

    ready: bool
    reason: str
    message: str
    trouble: bool = False
    """True when something keeps pods from starting."""


def assess(
    child: JobView | None, pods: Sequence[PodView], now: datetime, prerequisites: Sequence[str] = ()
) -> Readiness:
    """Judge the pods of a step's Job that is meant to run.

    `prerequisites` are what the cluster must have for such pods, as words.
    """
    running = [pod for pod in pods if pod.running]
    pending = [pod for pod in pods if pod.phase == "Pending" and not pod.deleting]
    troubled = [pod for pod in pending if pod.trouble]
    because = _because(troubled)
    if running:
        message = f"{_workers(len(running))} running."
        return Readiness(
            True, ConditionReason.WORKERS_RUNNING, f"{message} {because}".strip(), trouble=bool(troubled)
        )
    if pending:
        if troubled:
            return Readiness(False, _reason(troubled), because, trouble=True)
        message = f"{_workers(len(pending))} starting."
        return Readiness(False, ConditionReason.WORKERS_STARTING, message)
    if pods or child is None or child.start_time is None:
        # There is no pod at the moment: a retry waits for its backoff, or the Job has just been made.
        return Readiness(False, ConditionReason.WORKERS_STARTING, "Waiting for a pod.")
    if now - child.start_time < PATIENCE:
        return Readiness(False, ConditionReason.WORKERS_STARTING, "Waiting for a pod.")
    guesses = " ".join(f"{guess}?" for guess in ("a quota", *(f"no {needed}" for needed in prerequisites)))
    message = f"Job {child.name} has made no pod; kubectl describe job {child.name} says why ({guesses})."
    return Readiness(False, ConditionReason.NO_WORKERS, message, trouble=True)


def _because(troubled: Sequence[PodView]) -> str:
    if not troubled:
        return ""
    reason = _reason(troubled)
    example = next(pod for pod in troubled if pod.trouble == reason)
    return f"{_workers(len(troubled))} not starting: {reason}: {example.trouble_message}".rstrip(" :")


def _reason(troubled: Sequence[PodView]) -> str:
    return Counter(pod.trouble for pod in troubled).most_common(1)[0][0]


def _workers(count: int) -> str:
    return "1 pod is" if count == 1 else f"{count} pods are"
