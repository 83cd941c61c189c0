"""The step that generates: the Indexed Job of the workers, its account and its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import FinishedShards, Phase, PlanSummary, Shards
from rephrase_operator.observed import quality
from rephrase_operator.observed.accounting import explain, fold
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.progress import latest_reports, live_progress
from rephrase_operator.observed.readiness import Readiness
from rephrase_operator.observed.spending import priced, spend
from rephrase_operator.observed.views import ANNOTATION_HASH, JobView, PodView, Step
from rephrase_operator.reconcile import (
    attempts,
    children,
    cost_budget,
    error_budget,
    estimation,
    start_deadline,
    template_collapse,
    worker_contract,
)
from rephrase_operator.reconcile.decision import CreateJob, DeleteJob, PatchJob
from rephrase_operator.reconcile.draft import Draft
from rephrase_worker.spec import ExitCode

SETTLE = timedelta(seconds=10)
"""How long to wait for the pods of a finished Job to be seen. Jobs and pods come from two separate watches.
"""

_PARTIAL = ("FailedIndexes", "MaxFailedIndexesExceeded")
"""Why a Job failed though some of its shards are complete."""


@dataclass(frozen=True)
class _Workers:
    """What exists of the step, and the state of its shards."""

    plan: PlanSummary
    child: JobView | None
    pods: tuple[PodView, ...]
    succeeded: Intervals
    abandoned: Intervals
    advanced: bool
    """Whether shards were finished since the last pass."""


def generate(draft: Draft) -> None:
    """Bring every shard to its end."""
    plan = draft.status.plan
    assert plan is not None
    if plan.shards == 0:
        draft.set(generated=True, shards=_shards(plan, Intervals(), Intervals(), ()))
        draft.phase(Phase.FINALIZING, "There is nothing to generate.")
        return
    workers = _account(draft, plan)
    _spend(draft, workers)
    held = [_over_budget(draft), _collapsed(draft), _over_cost(draft)]
    stopped = any(held) or draft.spec.suspend
    if _ended(draft, workers):
        return
    _align(draft, workers, stopped=stopped)
    _report(draft, workers, stopped=stopped)


def hold_engine(draft: Draft) -> bool:
    """True while new engine settings have to wait, because they need another number of GPUs per pod."""
    child = draft.seen.jobs.get(Step.GENERATE)
    return child is not None and child.gpus != draft.engine.gpus


def _account(draft: Draft, plan: PlanSummary) -> _Workers:
    """Read the pods' reports, and determine which shards are complete and which are abandoned."""
    child = draft.seen.jobs.get(Step.GENERATE)
    pods = draft.seen.of(Step.GENERATE, draft.job.uid)
    before = draft.status.account or FinishedShards()
    complete = child.succeeded if child else Intervals()
    succeeded = Intervals.parse(fold(before, pods, ()).shards) | complete
    engine = draft.seen.config.engine if draft.seen.config else ""
    counted = attempts.judge(draft.spec.failure_policy, draft.status, child, engine, pods, succeeded)
    account = fold(before, pods, counted.ended)
    abandoned = counted.failed_indexes
    # Kubernetes resets its count when a Job is suspended, and would try exhausted shards again for ever.
    if len(succeeded | abandoned | counted.exhausted) >= plan.shards:
        abandoned = abandoned | counted.exhausted
    live = tuple(pod for pod in pods if pod.live)
    shards = _shards(plan, succeeded, abandoned, live)
    earlier = draft.status.shards
    draft.set(
        account=account,
        attempts=counted.attempts,
        failures=attempts.marked(counted.failures, abandoned),
        shards=shards,
        replicas=len(live),
        progress=live_progress(
            before=draft.status.progress,
            plan=plan,
            samples_per_document=draft.samples_per_document,
            gpus=_gpus_of_a_worker(draft, child),
            expected=draft.expected,
            account=account,
            complete=succeeded,
            pods=pods,
            reports=draft.seen.reports,
            now=draft.now,
        ),
    )
    running = latest_reports(pods, draft.seen.reports, Intervals.parse(account.shards))
    texts = quality.add([account.quality, *(report.quality for report in running.values())])
    draft.set(quality=quality.shown(texts))
    inside = Intervals.parse(before.shards)
    unseen = [
        pod for pod in pods if pod.phase == "Succeeded" and pod.index is not None and pod.index not in inside
    ]
    _begin(draft, [pod for pod in pods if pod.running], [*counted.ended, *unseen])
    advanced = earlier is not None and shards.succeeded > earlier.succeeded
    return _Workers(plan, child, pods, succeeded, abandoned, advanced)


def _begin(draft: Draft, running: list[PodView], new: list[PodView]) -> None:
    """Note since when workers run. Those in `new` ran and ended between two passes."""
    begun = [pod.started or pod.created for pod in running]
    if not draft.spec.suspend:
        begun += [pod.started for pod in new if pod.started]
    if begun:
        draft.generating_since(max(min(begun), draft.status.start_time or min(begun)))


def _shards(
    plan: PlanSummary, succeeded: Intervals, abandoned: Intervals, live: tuple[PodView, ...]
) -> Shards:
    running = {pod.index for pod in live if pod.running and pod.index is not None}
    open_running = sum(1 for index in running if index not in succeeded and index not in abandoned)
    return Shards(
        total=plan.shards,
        succeeded=len(succeeded),
        failed=len(abandoned),
        running=open_running,
        pending=max(0, plan.shards - len(succeeded) - len(abandoned) - open_running),
        summary=f"{len(succeeded)}/{plan.shards}",
    )


def _over_budget(draft: Draft) -> bool:
    assert draft.status.progress is not None
    budget = error_budget.judge(
        draft.spec.failure_policy, draft.status.error_ratio_reached, draft.status.progress
    )
    draft.set(error_ratio_reached=budget.reached)
    draft.condition(ConditionType.WITHIN_ERROR_BUDGET, not budget.exceeded, budget.reason, budget.message)
    return budget.exceeded


def _collapsed(draft: Draft) -> bool:
    verdict = template_collapse.judge(
        draft.spec.quality.template_collapse, draft.status.collapse_reached, draft.status.quality
    )
    draft.set(collapse_reached=verdict.reached)
    draft.condition(ConditionType.DIVERSE, verdict.diverse, verdict.reason, verdict.message)
    return verdict.exceeded


def _spend(draft: Draft, workers: _Workers) -> None:
    """Note what the workers have taken, and what the job is expected to take."""
    spent = spend(
        draft.status.cost,
        workers.pods,
        draft.now,
        units=max(1, _gpus_of_a_worker(draft, workers.child)),
        every=timedelta(seconds=draft.settings.progress_seconds),
    )
    draft.set(
        cost=priced(spent, draft.spec.cost),
        estimate=estimation.judge(draft.spec, draft.status, gpus=draft.gpus),
    )


def _gpus_of_a_worker(draft: Draft, child: JobView | None) -> int:
    """GPUs that each worker holds, 0 on CPUs. New settings that need another number wait for new pods."""
    return (child.gpus if child else 0) or draft.gpus if draft.gpus else 0


def _over_cost(draft: Draft) -> bool:
    budget = cost_budget.judge(draft.spec.cost, draft.status.estimate, draft.status.cost)
    if budget.limited or draft.status.condition(ConditionType.WITHIN_BUDGET) is not None:
        draft.condition(ConditionType.WITHIN_BUDGET, not budget.exceeded, budget.reason, budget.message)
    return budget.exceeded


def _ended(draft: Draft, workers: _Workers) -> bool:
    """If the Job has ended, go on to finalizing or fail. Returns whether it has ended."""
    plan, child = workers.plan, workers.child
    if child is None or child.deleting:
        return False
    settled = child.ended is None or draft.now - child.ended >= SETTLE
    if child.failed and child.failed_reason not in _PARTIAL:
        return _failed_as_a_whole(draft, child, workers.pods, settled=settled)
    closed = len(workers.succeeded) + len(workers.abandoned)
    if not (child.failed or child.complete or closed >= plan.shards):
        return False
    folded = Intervals.parse((draft.status.account or FinishedShards()).shards)
    if len(folded) < len(workers.succeeded) and not settled:
        draft.look_again(1)
        return False
    if not workers.succeeded:
        details = draft.failed_shards()
        message = conditions.shards_failed(len(workers.abandoned), plan.shards, details)
        draft.fail(ConditionReason.SHARDS_FAILED, message)
        return True
    abandoned = workers.abandoned
    if child.failed and closed < plan.shards:
        # maxFailedShards was passed: what had not run yet is missing as well.
        abandoned = Intervals(shard for shard in range(plan.shards) if shard not in workers.succeeded)
    shards = _shards(plan, workers.succeeded, abandoned, ())
    draft.set(generated=True, replicas=0, shards=shards, nothing_runs_since=None)
    draft.generated_until(child.ended or draft.now)
    if not (child.failed or child.complete or child.suspended):
        draft.do(PatchJob(child.name, {"suspend": True}))
    draft.phase(Phase.FINALIZING, "Adding up the shards.")
    return True


def _failed_as_a_whole(draft: Draft, child: JobView, pods: tuple[PodView, ...], *, settled: bool) -> bool:
    """Fail with the message of the worker whose exit code ended the Job. Waits until its pod is seen."""
    fatal = [
        pod for pod in pods if pod.counts_as_failure and pod.exit_code in (ExitCode.USAGE, ExitCode.CONFIG)
    ]
    if fatal:
        draft.fail(*explain(fatal[-1]))
    elif settled:
        draft.fail(ConditionReason.GENERATE_FAILED, child.failed_message)
    else:
        draft.look_again(1)
        return False
    return True


def _align(draft: Draft, workers: _Workers, *, stopped: bool) -> None:
    """Make the Job, or adapt it to the spec."""
    child = workers.child
    wanted = children.generate_job(
        draft.job,
        draft.spec,
        draft.settings,
        draft.engine,
        shards=workers.plan.shards,
        suspended=stopped,
    )
    contract = worker_contract.judge(draft.engine, draft.status)
    follows = (True, ConditionReason.CURRENT, "The workers follow the spec.")
    if contract.left_out:
        follows = (False, ConditionReason.WORKERS_TOO_OLD, contract.message)
    if child is None:
        draft.do(CreateJob(wanted))
        draft.condition(ConditionType.WORKERS_CURRENT, *follows)
        return
    if child.deleting or child.failed or child.complete:
        return
    current = child.workers_hash == wanted["metadata"]["annotations"][ANNOTATION_HASH]
    if not current and child.suspended and stopped and not any(pod.live for pod in workers.pods):
        # A Job's pods can't be changed. The new one finds finished shards finished; each costs a short pod.
        draft.do(DeleteJob(child.name, child.uid))
        draft.look_again(1)
        return
    late = (False, ConditionReason.SUSPEND_TO_APPLY, conditions.SUSPEND_TO_APPLY)
    draft.condition(ConditionType.WORKERS_CURRENT, *(follows if current else late))
    changes: dict[str, object] = {}
    if child.suspended != stopped:
        changes["suspend"] = stopped
    if child.parallelism != draft.spec.parallelism:
        changes["parallelism"] = draft.spec.parallelism
    if changes:
        draft.do(PatchJob(child.name, changes))


def _report(draft: Draft, workers: _Workers, *, stopped: bool) -> None:
    """Phase, message and readiness of workers that run, should run or should stop."""
    live = [pod for pod in workers.pods if pod.live]
    wanted = not stopped and draft.spec.parallelism > 0
    deadline = start_deadline.judge(
        draft.spec.failure_policy,
        draft.status.nothing_runs_since,
        workers.pods,
        draft.now,
        wanted=wanted,
        advanced=workers.advanced,
    )
    draft.set(nothing_runs_since=deadline.nothing_runs_since)
    if stopped:
        _report_stopped(draft, len(live))
        return
    draft.look_again(draft.settings.progress_seconds)
    ready = draft.readiness(Step.GENERATE)
    if draft.spec.parallelism == 0 and not live:
        ready = Readiness(False, ConditionReason.SCALED_TO_ZERO, "parallelism is 0: no workers.")
    draft.condition(ConditionType.WORKERS_READY, ready.ready, ready.reason, ready.message)
    if deadline.exceeded:
        draft.fail_to_start(ready.message)
        return
    draft.phase(Phase.RUNNING, _sentence(draft, ready))


def _report_stopped(draft: Draft, live: int) -> None:
    holds = [ConditionType.WITHIN_ERROR_BUDGET, ConditionType.WITHIN_BUDGET]
    if draft.status.collapse_reached is not None:
        holds.append(ConditionType.DIVERSE)
    conditions_held = [draft.status.condition(kind) for kind in holds]
    why = " ".join(held.message for held in conditions_held if held is not None and held.status == "False")
    if why and draft.spec.suspend:
        why = f"The job is suspended. And: {why}"
    why = why or "The job is suspended."
    if live:
        draft.set(phase=Phase.RUNNING, message=f"Suspending: {live} workers finish what they can. {why}")
        draft.look_again(draft.settings.progress_seconds)
        return
    draft.condition(ConditionType.WORKERS_READY, False, ConditionReason.SUSPENDED, why)
    draft.phase(Phase.SUSPENDED, why)


def _sentence(draft: Draft, ready: Readiness) -> str:
    progress, shards = draft.status.progress, draft.status.shards
    assert progress is not None
    assert shards is not None
    failed = f", {shards.failed} failed" if shards.failed else ""
    left = f", {progress.eta} left" if progress.eta else ""
    return f"{shards.succeeded} of {shards.total} shards done{failed}{left}. {ready.message}"
