"""The step that finalizes: one pod adds everything up, and its report ends the job."""

from __future__ import annotations

from functools import partial

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.status import Phase
from rephrase_operator.observed.progress import final_progress
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile import children, single
from rephrase_operator.reconcile.draft import Draft
from rephrase_operator.reconcile.single import SingleStep
from rephrase_worker.spec import FinalReport


def finalize(draft: Draft) -> None:
    """Run the finalizer until it reports, and end the job with its report."""
    make = partial(children.finalize_job, draft.job, draft.spec, draft.settings)
    this = SingleStep(Step.FINALIZE, FinalReport, make, Phase.FINALIZING, ConditionReason.FINALIZE_FAILED)
    report: FinalReport | None = single.run(draft, this)
    if report is None:
        return
    _conclude(draft, report)
    draft.set(
        progress=final_progress(
            draft.job.status.progress,
            report,
            draft.status.account,
            draft.status.generating,
            samples_per_document=draft.samples_per_document,
            gpus=draft.gpus,
        )
    )


def _conclude(draft: Draft, report: FinalReport) -> None:
    shards = draft.status.shards
    if shards is not None and shards.failed:
        message = conditions.shards_failed(shards.failed, shards.total, draft.failed_shards())
        draft.fail(ConditionReason.SHARDS_FAILED, message)
    elif report.samples_missing:
        message = (
            f"{report.samples_missing} samples are missing though no shard failed; see the finalize log."
        )
        draft.fail(ConditionReason.DATASET_INCOMPLETE, message)
    else:
        draft.succeed(
            f"{report.documents} documents, {report.samples_text} texts, {report.samples_error} errors."
        )
