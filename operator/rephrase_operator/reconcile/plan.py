"""The step that plans: one pod freezes the shards and pins dataset and model."""

from __future__ import annotations

from functools import partial

from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import Phase, PlanSummary
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile import children, single
from rephrase_operator.reconcile.draft import Draft
from rephrase_operator.reconcile.single import SingleStep
from rephrase_worker.spec import PlanReport


def plan(draft: Draft) -> None:
    """Run the planner until it reports."""
    make = partial(children.plan_job, draft.job, draft.spec, draft.settings)
    this = SingleStep(Step.PLAN, PlanReport, make, Phase.PLANNING, ConditionReason.PLAN_FAILED)
    report: PlanReport | None = single.run(draft, this)
    if report is None:
        return
    about = "" if report.documents_exact else "about "
    message = f"{report.shards} shards, {about}{report.documents} documents in {report.files} files."
    if report.skipped_files:
        message += f" Passed over: {report.skipped_files}: {report.skipped}."
    draft.set(
        plan=PlanSummary(
            **report.model_dump(include=set(PlanSummary.model_fields) - {"statistics"}),
            statistics=report.statistics.to_json() if report.statistics else None,
        ),
        contract_version=report.contract_version,
    )
    # Only now the size of every model is known, and what the image can do.
    engine = draft.judge_engine()
    if engine.reason == ConditionReason.MODEL_DOES_NOT_FIT:
        draft.fail(ConditionReason.MODEL_DOES_NOT_FIT, engine.message)
        return
    draft.condition(ConditionType.PLANNED, True, ConditionReason.PLANNED, message)
    draft.phase(Phase.RUNNING, f"Planned {message}")
