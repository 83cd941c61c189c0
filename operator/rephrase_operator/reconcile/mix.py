"""The step that mixes: an Indexed Job makes the files, and whoever makes the last one adds them up.

A pod that finds every shard finished reports the whole mix, and this report ends the step. If it was lost
with its pod, the step runs again: all pods find their shard finished, and all of them report the whole.
"""

from __future__ import annotations

from functools import partial

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.status import MixedPrompt, MixStatus, Phase
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile import children, single
from rephrase_operator.reconcile.decision import PatchJob
from rephrase_operator.reconcile.draft import Draft
from rephrase_operator.reconcile.single import SingleStep
from rephrase_worker.spec import MixReport

_FIRST_CONTRACT = 2
"""Version of the contract whose workers can mix."""


def mix(draft: Draft) -> None:
    """Make every shard of the mix."""
    dataset = draft.status.dataset
    assert dataset is not None
    if not dataset.mix_shards:
        old_image = draft.status.contract_version < _FIRST_CONTRACT
        draft.fail(ConditionReason.NOTHING_TO_MIX, conditions.nothing_to_mix(old_image=old_image))
        return
    child = draft.seen.jobs.get(Step.MIX)
    done = min(len(child.succeeded), dataset.mix_shards) if child is not None else 0
    draft.set(mix=MixStatus(total=dataset.mix_shards, done=done))
    wanted = children.mix_parallelism(draft.spec, dataset.mix_shards)
    if child is not None and not child.ended and not child.deleting and child.parallelism != wanted:
        draft.do(PatchJob(child.name, {"parallelism": wanted}))
    this = SingleStep(
        Step.MIX,
        MixReport,
        partial(children.mix_job, draft.job, draft.spec, draft.settings, shards=dataset.mix_shards),
        Phase.MIXING,
        ConditionReason.MIX_FAILED,
        conditions.mix_kept(draft.spec.output.uri),
        progress=f"{done} of {dataset.mix_shards} shards done",
        final=lambda report: report.complete,
    )
    report: MixReport | None = single.run(draft, this)
    if report is not None:
        draft.set(mix=_summary(report, dataset.mix_shards))


def _summary(report: MixReport, shards: int) -> MixStatus:
    counts = report.model_dump(
        include={"rows", "tokens", "synthetic_tokens", "original_tokens", "share_asked", "share_reached"}
    )
    return MixStatus(
        total=shards,
        done=shards,
        complete=True,
        prompts=[
            MixedPrompt(name=name, share_asked=asked, share_reached=reached)
            for name, (asked, reached) in report.shares.items()
        ],
        short=report.short or None,
        **counts,
    )
