"""The step that publishes: one pod puts the finished dataset on the Hub.

It takes as long as the Hub takes: about 100 commits an hour. A pod that starts again sends only what is not
there.
"""

from __future__ import annotations

from functools import partial

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.status import Phase, Published
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile import children, single
from rephrase_operator.reconcile.draft import Draft
from rephrase_operator.reconcile.single import SingleStep
from rephrase_worker.spec import PublishReport


def publish(draft: Draft) -> None:
    """Run the publisher until it reports."""
    asked = draft.spec.publish
    assert asked is not None
    this = SingleStep(
        Step.PUBLISH,
        PublishReport,
        partial(children.publish_job, draft.job, draft.spec, draft.settings),
        Phase.PUBLISHING,
        ConditionReason.PUBLISH_FAILED,
        conditions.dataset_kept(draft.spec.output.uri, asked.repository),
    )
    report: PublishReport | None = single.run(draft, this)
    if report is not None:
        draft.set(published=Published(**report.model_dump(include=set(Published.model_fields))))
