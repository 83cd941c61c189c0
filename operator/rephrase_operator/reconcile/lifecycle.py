"""From what is to what should be: one pure function of a RephraseJob, everything around it, and the time.

It runs on every event and on a timer, and every pass decides everything again. So a lost event, a restart or
an edit in mid-flight only causes a delay. The only memory is the status, which is written with the
resourceVersion that the pass has read.

A job starts in two passes. The first one freezes the recipe by setting `status.startTime`; from then on the
API server refuses changes. Only the second one makes children from the recipe.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import Phase
from rephrase_operator.library import Library
from rephrase_operator.observed.views import JobObject, Observed
from rephrase_operator.reconcile import children, worker_contract
from rephrase_operator.reconcile.chain import advance
from rephrase_operator.reconcile.decision import (
    CreateConfigMap,
    Decision,
    DeleteRephraseJob,
    PatchConfigMap,
    PatchJob,
)
from rephrase_operator.reconcile.draft import Draft, started
from rephrase_operator.reconcile.generate import hold_engine
from rephrase_operator.reconcile.namespace_end import held_up, jobs_to_delete
from rephrase_operator.reconcile.pods import config_name
from rephrase_operator.reconcile.prompts import LOOK_AGAIN_SECONDS, PromptProblem, config_maps_of, resolve
from rephrase_operator.reconcile.single import WAIT_SECONDS
from rephrase_operator.reconcile.volumes import local_paths
from rephrase_operator.settings import Settings
from rephrase_worker.spec import CONTRACT_VERSION, ENGINE_FILE, RECIPE_FILE, Recipe


def reconcile(
    job: JobObject,
    seen: Observed,
    now: datetime,
    settings: Settings,
    library: Library,
) -> Decision:
    """Decide on one job. Pure: the same arguments give the same decision."""
    if job.deleting:
        return Decision(status=job.status)
    if seen.namespace_ends:
        status = job.status.model_copy(update={"message": conditions.NAMESPACE_ENDS})
        return Decision(status, jobs_to_delete(seen, job.uid), requeue_after=WAIT_SECONDS)
    if job.spec is None:
        return _unreadable(job, now)
    draft = Draft(job, job.spec, seen, now.replace(microsecond=0), settings, library)
    if job.status.phase is not None and job.status.phase.final:
        _after_the_end(draft)
    elif not started(job.status):
        _start(draft)
    elif _foreign(draft):
        draft.condition(ConditionType.ACCEPTED, None, ConditionReason.OLD_CHILDREN, conditions.OLD_CHILDREN)
        draft.set(message=conditions.OLD_CHILDREN)
        draft.look_again(WAIT_SECONDS)
    elif _resolved(draft) and _configured(draft):
        advance(draft)
        if seen.refused and draft.status.phase not in (Phase.FAILED, Phase.SUCCEEDED):
            draft.condition(ConditionType.WORKERS_READY, False, ConditionReason.REFUSED, seen.refused)
            draft.set(message=seen.refused)
    if held_up(seen):
        draft.look_again(WAIT_SECONDS)
    return draft.decide()


def _unreadable(job: JobObject, now: datetime) -> Decision:
    """The API server validates what this operator reads, unless their versions differ."""
    held = conditions.with_condition(
        list(job.status.conditions),
        ConditionType.ACCEPTED,
        False,
        ConditionReason.INVALID_SPEC,
        job.problem,
        now=now.replace(microsecond=0),
        generation=job.generation,
    )
    update = {"conditions": held, "message": job.problem, "phase": job.status.phase or Phase.PENDING}
    return Decision(status=job.status.model_copy(update=update))


def _start(draft: Draft) -> None:
    """Accept the spec and freeze it, or say why not."""
    spec = draft.spec
    prompts = resolve(spec.prompts, draft.library, draft.seen.prompt_maps)
    if isinstance(prompts, PromptProblem):
        draft.condition(ConditionType.ACCEPTED, False, prompts.reason, prompts.message)
        draft.phase(Phase.PENDING, prompts.message)
        if prompts.may_pass:
            draft.look_again(LOOK_AGAIN_SECONDS)
    elif not draft.settings.allow_local_paths and (local := local_paths(spec)):
        message = conditions.local_paths_refused(local)
        draft.condition(ConditionType.ACCEPTED, False, ConditionReason.LOCAL_PATH, message)
        draft.phase(Phase.PENDING, message)
    elif not _resolved(draft):
        return
    elif _foreign(draft):
        draft.condition(ConditionType.ACCEPTED, None, ConditionReason.OLD_CHILDREN, conditions.OLD_CHILDREN)
        draft.phase(Phase.PENDING, conditions.OLD_CHILDREN)
        draft.look_again(WAIT_SECONDS)
    elif spec.suspend:
        draft.condition(
            ConditionType.ACCEPTED,
            True,
            ConditionReason.ACCEPTED,
            "Nothing has started yet: the recipe can change.",
        )
        draft.phase(Phase.SUSPENDED, "Suspended before it started.")
    else:
        draft.condition(ConditionType.ACCEPTED, True, ConditionReason.ACCEPTED, "The recipe is frozen.")
        draft.set(
            start_time=draft.now,
            worker_image=draft.settings.worker_image,
            pod_defaults=draft.settings.pod_defaults.to_status(),
            contract_version=CONTRACT_VERSION,
            recipe_hash=children.recipe_of(draft.job, spec, prompts, draft.status.engine).hash,
            selector=children.selector(draft.job.name),
        )
        draft.phase(Phase.PLANNING, "Planning the shards.")
        draft.look_again(0)


def _resolved(draft: Draft) -> bool:
    """Resolve the engine's settings with their profile. False if the job can't start with them."""
    verdict = draft.judge_engine()
    draft.set(engine=verdict.engine)
    if verdict.engine is None:
        draft.condition(ConditionType.ACCEPTED, False, verdict.reason, verdict.message)
        draft.phase(Phase.PENDING, verdict.message)
        return False
    message = conditions.engine_kept(verdict.message) if verdict.kept else verdict.message
    draft.condition(ConditionType.PROFILE_APPLIED, verdict.applied, verdict.reason, message)
    return True


def _foreign(draft: Draft) -> bool:
    """True if an object that is not this job's has the name of a child. Such an object is never adopted."""
    seen, uid = draft.seen, draft.job.uid
    others = any(child.owner_uid != uid for child in seen.jobs.values())
    return others or bool(seen.taken) or (seen.config is not None and seen.config.owner_uid != uid)


def _configured(draft: Draft) -> bool:
    """Keep the ConfigMap right: the recipe as it was frozen, the engine's settings as they are now.

    False if the job can't go on without the recipe.
    """
    job, config = draft.job, draft.seen.config
    engine = worker_contract.judge(draft.engine, job.status).engine
    if config is None:
        recipe = _recipe_again(draft)
        if recipe is None:
            # Pods that run have mounted the recipe and go on, but no other Job is made without it.
            unfinished = [
                child for child in draft.seen.jobs.values() if not child.complete and not child.failed
            ]
            return bool(unfinished) and draft.status.phase is not Phase.FAILED
        files = {RECIPE_FILE: recipe.to_json(job.status.contract_version), ENGINE_FILE: engine}
        draft.do(CreateConfigMap(children.config_map(job, files)))
    elif config.engine != engine and not hold_engine(draft):
        draft.do(PatchConfigMap(config_name(job.name), {ENGINE_FILE: engine}))
    draft.condition(ConditionType.ACCEPTED, True, ConditionReason.ACCEPTED, "The recipe is frozen.")
    return True


def _recipe_again(draft: Draft) -> Recipe | None:
    """The recipe as the job started with it; None if it can't be made any more, and the status says why."""
    spec, status = draft.spec, draft.status
    prompts = resolve(spec.prompts, draft.library, draft.seen.prompt_maps)
    recipe = None
    if not isinstance(prompts, PromptProblem):
        recipe = children.recipe_of(draft.job, spec, prompts, status.engine)
    if recipe is not None and recipe.hash == status.recipe_hash:
        return recipe
    maps = config_maps_of(spec.prompts)
    if not maps:
        draft.fail(ConditionReason.RECIPE_CHANGED, conditions.RECIPE_CHANGED)
        return None
    if recipe is not None and status.plan is None and not draft.seen.jobs:
        # A ConfigMap has changed between the pass that started the job and this one: nothing is made yet.
        draft.set(recipe_hash=recipe.hash)
        return recipe
    message = conditions.prompts_changed(maps, prompts.message if isinstance(prompts, PromptProblem) else "")
    draft.condition(ConditionType.ACCEPTED, False, ConditionReason.RECIPE_CHANGED, message)
    draft.set(message=message)
    draft.look_again(LOOK_AGAIN_SECONDS)
    return None


def _after_the_end(draft: Draft) -> None:
    """Stop what may still run, and delete the job when its ttlSecondsAfterFinished is over."""
    for child in draft.seen.jobs.values():
        if child.owner_uid == draft.job.uid and not (child.suspended or child.complete or child.failed):
            draft.do(PatchJob(child.name, {"suspend": True}))
            draft.look_again(WAIT_SECONDS)
    ttl, ended = draft.spec.ttl_seconds_after_finished, draft.status.completion_time
    if ttl is None or ended is None:
        return
    left = (ended + timedelta(seconds=ttl) - draft.now).total_seconds()
    if left <= 0:
        draft.do(DeleteRephraseJob(draft.job.name, draft.job.uid))
    else:
        draft.look_again(left)
