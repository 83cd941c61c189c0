"""The step that generates: the Indexed Job of the workers, its account, its failures and its brakes."""

from __future__ import annotations

from datetime import timedelta

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import FinishedShards, Phase, PlanSummary, Progress, Shards
from rephrase_operator.observed.accounting import count_failures, exhausted, explain, fold, reset_attempts
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.progress import error_ratio, live_progress
from rephrase_operator.observed.readiness import Readiness, assess
from rephrase_operator.observed.views import ANNOTATION_HASH, JobView, PodView, Step
from rephrase_operator.reconcile import children
from rephrase_operator.reconcile.decision import CreateJob, DeleteJob, PatchJob
from rephrase_operator.reconcile.draft import Draft
from rephrase_worker.spec import ExitCode

SETTLE = timedelta(seconds=10)
"""How long a finished Job's pods may take to be seen: two watches don't wait for each other."""

_PARTIAL = ("FailedIndexes", "MaxFailedIndexesExceeded")
"""Why a Job failed though some of its shards are complete."""


def generate(draft: Draft) -> None:
    """Bring every shard to its end."""
    plan = draft.status.plan
    assert plan is not None
    if plan.shards == 0:
        draft.set(generated=True, shards=_shards(plan, Intervals(), Intervals(), ()))
        draft.phase(Phase.FINALIZING, "There is nothing to generate.")
        draft.look_again(0)
        return
    child = draft.seen.jobs.get(Step.GENERATE)
    pods = draft.seen.of(Step.GENERATE, draft.job.uid)
    succeeded, abandoned = _account(draft, plan, child, pods)
    stopped = _over_budget(draft) or draft.spec.suspend
    if _ended(draft, plan, child, pods, succeeded, abandoned):
        return
    _workers(draft, plan, child, pods, stopped=stopped)
    _report(draft, child, pods, stopped=stopped)


def hold_engine(draft: Draft) -> bool:
    """True while the engine's settings have to wait: they ask for other GPUs than the workers' pods have."""
    child = draft.seen.jobs.get(Step.GENERATE)
    return child is not None and child.gpus != draft.spec.engine.gpus


def _account(
    draft: Draft, plan: PlanSummary, child: JobView | None, pods: tuple[PodView, ...]
) -> tuple[Intervals, Intervals]:
    """Take in what the pods say; returns the shards that succeeded and those that are abandoned."""
    config = draft.seen.config
    if config is not None and config.engine != draft.spec.engine.to_json() and not hold_engine(draft):
        draft.set(failures=reset_attempts(draft.status.failures))
    account = fold(draft.status.account or FinishedShards(), pods)
    succeeded = Intervals.parse(account.shards) | (child.succeeded if child else Intervals())
    failed_indexes = child.failed_indexes if child else Intervals()
    failures = count_failures(draft.status.failures, pods, failed_indexes)
    exhausted_shards = exhausted(failures, draft.spec.failure_policy.max_attempts_per_shard)
    exhausted_shards = Intervals(shard for shard in exhausted_shards if shard not in succeeded)
    # Kubernetes forgets its count when a Job is suspended and would try these again for ever.
    if len(succeeded | failed_indexes | exhausted_shards) >= plan.shards:
        failed_indexes = failed_indexes | exhausted_shards
    failed_indexes = Intervals(shard for shard in failed_indexes if shard not in succeeded)
    live = tuple(pod for pod in pods if pod.live)
    draft.set(
        account=account,
        failures=count_failures(failures, (), failed_indexes),
        shards=_shards(plan, succeeded, failed_indexes, live),
        replicas=len(live),
        progress=live_progress(
            before=draft.status.progress,
            plan=plan,
            samples_per_document=draft.samples_per_document,
            gpus=draft.gpus,
            account=account,
            complete=succeeded,
            pods=pods,
            reports=draft.seen.reports,
            now=draft.now,
        ),
    )
    begun = [pod.started or pod.created for pod in pods if pod.running]
    if begun:
        draft.generating_since(max(min(begun), draft.status.start_time or min(begun)))
    return succeeded, failed_indexes


def _shards(
    plan: PlanSummary, succeeded: Intervals, failed_indexes: Intervals, live: tuple[PodView, ...]
) -> Shards:
    running = {pod.index for pod in live if pod.running and pod.index is not None}
    open_running = sum(1 for index in running if index not in succeeded and index not in failed_indexes)
    return Shards(
        total=plan.shards,
        succeeded=len(succeeded),
        failed=len(failed_indexes),
        running=open_running,
        pending=max(0, plan.shards - len(succeeded) - len(failed_indexes) - open_running),
        summary=f"{len(succeeded)}/{plan.shards}",
    )


def _over_budget(draft: Draft) -> bool:
    """True while errors stop the job: until the limit is above the share reached, for that can't fall."""
    policy, progress = draft.spec.failure_policy, draft.status.progress
    assert progress is not None
    ratio, reached = error_ratio(progress), draft.status.error_ratio_reached
    enough = progress.documents >= policy.min_documents
    if reached is None and enough and ratio > policy.max_error_ratio:
        reached = ratio
    if reached is not None and max(reached, ratio) <= policy.max_error_ratio:
        reached = None
    draft.set(error_ratio_reached=None if reached is None else round(max(reached, ratio), 6))
    if reached is None:
        message = f"{ratio:.2%} of the samples are errors." if enough else "Too few documents to judge by."
        draft.condition(ConditionType.WITHIN_ERROR_BUDGET, True, ConditionReason.FEW_ERRORS, message)
        return False
    message = conditions.too_many_errors(max(reached, ratio), policy.max_error_ratio)
    draft.condition(ConditionType.WITHIN_ERROR_BUDGET, False, ConditionReason.TOO_MANY_ERRORS, message)
    return True


def _ended(
    draft: Draft,
    plan: PlanSummary,
    child: JobView | None,
    pods: tuple[PodView, ...],
    succeeded: Intervals,
    abandoned: Intervals,
) -> bool:
    """Go on to finalizing, or fail, when the Job has come to its end; returns whether it has."""
    if child is None or child.deleting:
        return False
    settled = child.ended is None or draft.now - child.ended >= SETTLE
    folded = Intervals.parse((draft.status.account or FinishedShards()).shards)
    if child.failed and child.failed_reason not in _PARTIAL:
        fatal = [
            pod
            for pod in pods
            if pod.counts_as_failure and pod.exit_code in (ExitCode.USAGE, ExitCode.CONFIG)
        ]
        if fatal:
            draft.fail(*explain(fatal[-1]))
        elif settled:
            draft.fail(ConditionReason.GENERATE_FAILED, child.failed_message)
        else:
            draft.look_again(1)
            return False
        return True
    over = child.failed or child.complete or len(succeeded) + len(abandoned) >= plan.shards
    if not over:
        return False
    if len(folded) < len(succeeded) and not settled:
        draft.look_again(1)
        return False
    if not succeeded:
        failed = [failure for failure in draft.status.failures if failure.failed]
        details = " ".join(f"Shard {found.shard}: {found.reason}: {found.message}" for found in failed[:3])
        draft.fail(
            ConditionReason.SHARDS_FAILED, conditions.shards_failed(len(abandoned), plan.shards, details)
        )
        return True
    if child.failed and len(succeeded) + len(abandoned) < plan.shards:
        # maxFailedShards was passed: what had not run yet is missing as well.
        abandoned = Intervals(shard for shard in range(plan.shards) if shard not in succeeded)
    draft.set(generated=True, replicas=0, shards=_shards(plan, succeeded, abandoned, ()))
    draft.generated_until(child.ended or draft.now)
    if not (child.failed or child.complete or child.suspended):
        draft.do(PatchJob(child.name, {"suspend": True}))
    draft.phase(Phase.FINALIZING, "Adding up the shards.")
    draft.look_again(0)
    return True


def _workers(
    draft: Draft, plan: PlanSummary, child: JobView | None, pods: tuple[PodView, ...], *, stopped: bool
) -> None:
    """Make the Job, or bring it in line with the spec."""
    wanted = children.generate_job(
        draft.job, draft.spec, draft.settings, shards=plan.shards, suspended=stopped
    )
    if child is None:
        draft.do(CreateJob(wanted))
        draft.condition(
            ConditionType.WORKERS_CURRENT, True, ConditionReason.CURRENT, "The workers follow the spec."
        )
        return
    if child.deleting or child.failed or child.complete:
        return
    current = child.workers_hash == wanted["metadata"]["annotations"][ANNOTATION_HASH]
    if not current and child.suspended and stopped and not any(pod.live for pod in pods):
        # A Job's pods can't be changed. The new one finds finished shards finished; each costs a short pod.
        draft.do(DeleteJob(child.name, child.uid))
        draft.set(failures=reset_attempts(draft.status.failures))
        draft.look_again(1)
        return
    message = "The workers follow the spec." if current else conditions.SUSPEND_TO_APPLY
    draft.condition(
        ConditionType.WORKERS_CURRENT,
        current,
        ConditionReason.CURRENT if current else ConditionReason.SUSPEND_TO_APPLY,
        message,
    )
    changes: dict[str, object] = {}
    if child.suspended != stopped:
        changes["suspend"] = stopped
    if child.parallelism != draft.spec.parallelism:
        changes["parallelism"] = draft.spec.parallelism
    if changes:
        draft.do(PatchJob(child.name, changes))


def _report(draft: Draft, child: JobView | None, pods: tuple[PodView, ...], *, stopped: bool) -> None:
    """Phase, message and readiness of workers that run, should run or should stop."""
    live = [pod for pod in pods if pod.live]
    progress, shards = draft.status.progress, draft.status.shards
    assert progress is not None
    assert shards is not None
    if stopped:
        held = draft.status.condition(ConditionType.WITHIN_ERROR_BUDGET)
        why = held.message if held is not None and held.status == "False" else "The job is suspended."
        if live:
            draft.set(
                phase=Phase.RUNNING, message=f"Suspending: {len(live)} workers finish what they can. {why}"
            )
            draft.look_again(draft.settings.progress_seconds)
            return
        draft.condition(ConditionType.WORKERS_READY, False, ConditionReason.SUSPENDED, why)
        draft.phase(Phase.SUSPENDED, why)
        return
    draft.look_again(draft.settings.progress_seconds)
    ready = assess(child, pods, draft.now)
    if draft.spec.parallelism == 0 and not live:
        ready = Readiness(False, ConditionReason.SCALED_TO_ZERO, "parallelism is 0: no workers.")
    draft.condition(ConditionType.WORKERS_READY, ready.ready, ready.reason, ready.message)
    deadline = draft.spec.failure_policy.pending_deadline_seconds
    if ready.overdue(timedelta(seconds=deadline), draft.now):
        draft.fail(ConditionReason.PENDING_DEADLINE, conditions.pending_deadline(deadline, ready.message))
        return
    draft.phase(Phase.RUNNING, _sentence(progress, shards, ready))


def _sentence(progress: Progress, shards: Shards, ready: Readiness) -> str:
    failed = f", {shards.failed} failed" if shards.failed else ""
    left = f", {progress.eta} left" if progress.eta else ""
    return f"{shards.succeeded} of {shards.total} shards done{failed}{left}. {ready.message}"
