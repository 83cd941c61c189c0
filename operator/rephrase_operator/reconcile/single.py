"""A step that ends with one report, such as planning or finalizing: it runs until a pod leaves it.

It can run again at any time, because every such step is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import Phase
from rephrase_operator.observed.accounting import explain
from rephrase_operator.observed.views import JobView, PodView, Step, termination_report
from rephrase_operator.reconcile import start_deadline
from rephrase_operator.reconcile.decision import CreateJob, DeleteJob, PatchJob
from rephrase_operator.reconcile.draft import Draft
from rephrase_operator.reconcile.generate import SETTLE
from rephrase_worker.spec import Report

WAIT_SECONDS = 5.0
"""When to look again at something that changes without an event."""


@dataclass(frozen=True)
class SingleStep:
    """What is particular to such a step."""

    step: Step
    report: type[Report]
    make: Callable[[], dict[str, Any]]
    """Its Job's manifest."""
    phase: Phase
    failed: ConditionReason
    """Reason to give if its pods left none."""
    kept: str = ""
    """What its failure leaves behind, and how to go on: added to the message."""
    progress: str = ""
    """How far it is, for the message."""
    final: Callable[[Any], bool] = lambda _: True
    """Whether a report ends the step. The step can be an Indexed Job, if one of its pods reports for all."""


def run(draft: Draft, this: SingleStep) -> Any:
    """Run the step until it reports; None while there is no report."""
    child, pods = draft.seen.jobs.get(this.step), draft.seen.of(this.step, draft.job.uid)
    done = (
        termination_report(this.report, pod.termination) for pod in reversed(pods) if pod.phase == "Succeeded"
    )
    report = next((found for found in done if found is not None and this.final(found)), None)
    if report is not None:
        draft.set(nothing_runs_since=None)
        return report
    failed = [pod for pod in pods if pod.counts_as_failure]
    if not _align(draft, this, child, failed):
        return None
    doing = f"{this.phase.value}: {this.progress}" if this.progress else this.phase.value
    message = f"{doing}."
    if failed:
        last = ": ".join(explain(failed[-1]))
        # Of several pods none is the second attempt of another.
        attempt = "" if this.progress else f", attempt {len(failed) + 1}"
        message = f"{doing}{attempt}. The last one failed: {last}"
    _tell(draft, this, pods, message)
    return None


def _align(draft: Draft, this: SingleStep, child: JobView | None, failed: list[PodView]) -> bool:
    """Make the Job, or adapt it to the spec. False if the step has failed."""
    settled = child is not None and (child.ended is None or draft.now - child.ended >= SETTLE)
    if child is None:
        draft.do(CreateJob(this.make() if not draft.spec.suspend else _suspended(this.make())))
    elif child.deleting:
        draft.look_again(WAIT_SECONDS)
    elif child.failed:
        if failed or settled:
            reason, message = explain(failed[-1]) if failed else (this.failed, child.failed_message)
            draft.fail(reason, f"{message} {this.kept}".strip())
            return False
        draft.look_again(1)
    elif child.complete:
        if settled:
            draft.do(DeleteJob(child.name, child.uid))  # Its pod was gone before it was read: run it again.
        draft.look_again(1)
    elif child.suspended != draft.spec.suspend:
        draft.do(PatchJob(child.name, {"suspend": draft.spec.suspend}))
    return True


def _tell(draft: Draft, this: SingleStep, pods: tuple[PodView, ...], message: str) -> None:
    """Phase, message and readiness."""
    deadline = start_deadline.judge(
        draft.spec.failure_policy,
        draft.status.nothing_runs_since,
        pods,
        draft.now,
        wanted=not draft.spec.suspend,
    )
    draft.set(nothing_runs_since=deadline.nothing_runs_since)
    if draft.spec.suspend:
        if any(pod.live for pod in pods):
            draft.set(message=f"Suspending: {this.step} is being stopped.")
            draft.look_again(WAIT_SECONDS)
            return
        draft.condition(
            ConditionType.WORKERS_READY, False, ConditionReason.SUSPENDED, "The job is suspended."
        )
        draft.phase(Phase.SUSPENDED, f"Suspended; the next step is to {this.step}.")
        return
    ready = draft.readiness(this.step)
    draft.condition(ConditionType.WORKERS_READY, ready.ready, ready.reason, ready.message)
    if deadline.exceeded:
        draft.fail_to_start(ready.message)
        return
    draft.phase(this.phase, f"{message} {ready.message}" if ready.trouble else message)
    draft.look_again(WAIT_SECONDS)


def _suspended(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest | {"spec": manifest["spec"] | {"suspend": True}}
