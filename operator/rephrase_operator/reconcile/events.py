"""Events: each reports one transition between two statuses.

They follow from the statuses alone, so a restarted operator neither repeats nor forgets one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import Condition, Phase, RephraseJobStatus

MAX_SHARD_EVENTS = 5
"""Failed attempts that get an event of their own in one pass. One more event counts the others."""

_PHASE_EVENTS = {
    Phase.PLANNING: ConditionReason.PLANNING,
    Phase.RUNNING: ConditionReason.RUNNING,
    Phase.SUSPENDED: ConditionReason.SUSPENDED,
    Phase.FINALIZING: ConditionReason.FINALIZING,
    Phase.MIXING: ConditionReason.MIXING,
    Phase.PUBLISHING: ConditionReason.PUBLISHING,
    Phase.SUCCEEDED: ConditionReason.SUCCEEDED,
}

_QUIET = {
    ConditionReason.WORKERS_RUNNING,
    ConditionReason.WORKERS_STARTING,
    ConditionReason.SUSPENDED,
    ConditionReason.SCALED_TO_ZERO,
}


_LOSSES = {
    ConditionReason.SUFFIX_MISSING,
    ConditionReason.UNKNOWN_GPU,
    ConditionReason.UNKNOWN_PROFILE,
    ConditionReason.MODEL_DOES_NOT_FIT,
}
"""Reasons of ProfileApplied that somebody should hear of. Most models have no profile, which is no news."""


@dataclass(frozen=True)
class Event:
    """One entry."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def transitions(before: RephraseJobStatus, after: RephraseJobStatus) -> tuple[Event, ...]:
    """The events between two statuses."""
    found: list[Event] = []
    if _turned(before, after, ConditionType.ACCEPTED, "False", any_reason=True):
        found.append(_of("Warning", after.condition(ConditionType.ACCEPTED)))
    if _turned(before, after, ConditionType.PLANNED, "True"):
        found.append(_of("Normal", after.condition(ConditionType.PLANNED)))
    found += _phase(before, after)
    found += _workers(before, after)
    if _turned(before, after, ConditionType.DIVERSE, "False"):
        found.append(_of("Warning", after.condition(ConditionType.DIVERSE)))
    if _turned(before, after, ConditionType.WITHIN_ERROR_BUDGET, "False"):
        found.append(_of("Warning", after.condition(ConditionType.WITHIN_ERROR_BUDGET)))
    if _turned(before, after, ConditionType.WITHIN_BUDGET, "False"):
        found.append(_of("Warning", after.condition(ConditionType.WITHIN_BUDGET)))
    profile = after.condition(ConditionType.PROFILE_APPLIED)
    if _turned(before, after, ConditionType.PROFILE_APPLIED, "False", any_reason=True) and (
        profile is not None and profile.reason in _LOSSES
    ):
        found.append(_of("Warning", profile))
    if _turned(before, after, ConditionType.WORKERS_CURRENT, "False"):
        found.append(_of("Normal", after.condition(ConditionType.WORKERS_CURRENT)))
    found += _attempts(before, after)
    return tuple(found)


def _phase(before: RephraseJobStatus, after: RephraseJobStatus) -> list[Event]:
    if before.phase == after.phase or after.phase is None:
        return []
    if after.phase is Phase.FAILED:
        return [_of("Warning", after.condition(ConditionType.FAILED))]
    found = []
    if before.phase is Phase.SUSPENDED:
        found.append(Event("Normal", ConditionReason.RESUMED, "The job goes on."))
    if after.phase in _PHASE_EVENTS:
        found.append(Event("Normal", _PHASE_EVENTS[after.phase], after.message or ""))
    return found


def _workers(before: RephraseJobStatus, after: RephraseJobStatus) -> list[Event]:
    old, new = before.condition(ConditionType.WORKERS_READY), after.condition(ConditionType.WORKERS_READY)
    if new is None or new.status == "True" or new.reason in _QUIET:
        return []
    if after.phase is not None and after.phase.final:
        return []
    # The kubelet alternates between ErrImagePull and ImagePullBackOff. Both are one problem: one event.
    if old is not None and old.status == "False" and old.reason not in _QUIET:
        return []
    return [_of("Warning", new)]


def _attempts(before: RephraseJobStatus, after: RephraseJobStatus) -> list[Event]:
    count = _failed(after) - _failed(before)
    if count <= 0:
        return []
    known = {failure.shard: (failure.attempts, failure.time) for failure in before.failures}
    fresh = [
        failure
        for failure in after.failures
        if failure.attempts and (failure.attempts, failure.time) != known.get(failure.shard)
    ]
    latest = sorted(fresh, key=lambda failure: failure.time)[-min(count, MAX_SHARD_EVENTS) :]
    found = [
        Event(
            "Warning",
            ConditionReason.SHARD_FAILED,
            f"Shard {failure.shard}, attempt {failure.attempts}: {failure.reason}: {failure.message}",
        )
        for failure in latest
    ]
    if count > len(found):
        message = conditions.more_attempts_failed(count - len(found))
        found.append(Event("Warning", ConditionReason.SHARD_FAILED, message))
    return found


def _failed(status: RephraseJobStatus) -> int:
    return status.attempts.failed if status.attempts is not None else 0


def _turned(
    before: RephraseJobStatus,
    after: RephraseJobStatus,
    kind: ConditionType,
    to: str,
    *,
    any_reason: bool = False,
) -> bool:
    old, new = before.condition(kind), after.condition(kind)
    if new is None or new.status != to:
        return False
    return (
        old is None
        or old.status != to
        or (any_reason and (old.reason, old.message) != (new.reason, new.message))
    )


def _of(kind: Literal["Normal", "Warning"], condition: Condition | None) -> Event:
    assert condition is not None
    return Event(kind, condition.reason, condition.message)
