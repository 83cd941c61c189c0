"""The step that finalizes: one pod adds everything up.

A dataset with gaps fails the job here, so it is neither mixed nor published.
"""

from __future__ import annotations

from functools import partial

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.status import DatasetSummary, Phase
from rephrase_operator.observed import quality
from rephrase_operator.observed.progress import counted, final_progress
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile import children, single
from rephrase_operator.reconcile.draft import Draft
from rephrase_operator.reconcile.single import SingleStep
from rephrase_worker.spec import FinalReport


def finalize(draft: Draft) -> None:
    """Run the finalizer until it reports. What it reports is in the status for the steps after it."""
    make = partial(children.finalize_job, draft.job, draft.spec, draft.settings)
    this = SingleStep(Step.FINALIZE, FinalReport, make, Phase.FINALIZING, ConditionReason.FINALIZE_FAILED)
    report: FinalReport | None = single.run(draft, this)
    if report is None:
        return
    before = draft.job.status.progress
    final = final_progress(
        before,
        report,
        draft.status.account,
        draft.status.generating,
        samples_per_document=draft.samples_per_document,
        gpus=draft.gpus,
    )
    draft.set(
        quality=quality.shown(report.quality) or draft.status.quality,
        dataset=DatasetSummary(**report.model_dump(include=set(DatasetSummary.model_fields))),
        counted=counted(before, report, final),
        progress=final,
    )
    _fail_if_incomplete(draft, report)


def _fail_if_incomplete(draft: Draft, report: FinalReport) -> None:
    shards = draft.status.shards
    if shards is not None and shards.failed:
        message = conditions.shards_failed(shards.failed, shards.total, draft.failed_shards())
        draft.fail(ConditionReason.SHARDS_FAILED, message)
    elif report.samples_missing:
        message = (
            f"{report.samples_missing} samples are missing though no shard failed; see the finalize log."
        )
        draft.fail(ConditionReason.DATASET_INCOMPLETE, message)
