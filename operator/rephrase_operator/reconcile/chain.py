"""The chain of a job's steps: a pass runs the first step that is not done, and the last one ends the job.

A step is done when its own part of the status says so. So a step relies only on what has been written, and
a pass after a restart goes on where the job is. A step that fails ends the job, and nothing after it runs.
To add a step, write its module, its part of the status, and its line in `_CHAIN`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rephrase_operator.api import RephraseJobSpec, conditions
from rephrase_operator.api.status import RephraseJobStatus
from rephrase_operator.reconcile.draft import Draft
from rephrase_operator.reconcile.finalize import finalize
from rephrase_operator.reconcile.generate import generate
from rephrase_operator.reconcile.mix import mix
from rephrase_operator.reconcile.plan import plan
from rephrase_operator.reconcile.publish import publish


@dataclass(frozen=True)
class _Link:
    """A step in the chain."""

    done: Callable[[RephraseJobSpec, RephraseJobStatus], bool]
    """Whether the status has its result, or the spec does not ask for it."""
    run: Callable[[Draft], None]
    """Brings it forward by one pass. When it ends, it puts its result into the status or fails the job."""


def _is_mixed(status: RephraseJobStatus) -> bool:
    return status.mix is not None and status.mix.complete


_CHAIN = (
    _Link(lambda _, status: status.plan is not None, plan),
    _Link(lambda _, status: status.generated, generate),
    _Link(lambda _, status: status.dataset is not None, finalize),
    _Link(lambda spec, status: spec.mix is None or _is_mixed(status), mix),
    _Link(lambda spec, status: spec.publish is None or status.published is not None, publish),
)


def advance(draft: Draft) -> None:
    """Run the first step that is not done. After the last one the job has succeeded."""
    left = [link for link in _CHAIN if not link.done(draft.spec, draft.status)]
    if left:
        left[0].run(draft)
        failed = draft.status.phase is not None and draft.status.phase.final
        if failed or not left[0].done(draft.spec, draft.status):
            return
    if len(left) > 1:
        draft.look_again(0)  # The next step relies on what is written, so it begins in a pass of its own.
    else:
        draft.succeed(_conclusion(draft.status))


def _conclusion(status: RephraseJobStatus) -> str:
    found = status.dataset
    assert found is not None
    counted = f"{found.documents} documents, {found.samples_text} texts, {found.samples_error} errors"
    counted += f", {found.samples_filtered} left out." if found.samples_filtered else "."
    mixed = status.mix
    if mixed is None or mixed.share_reached is None or mixed.share_asked is None:
        return counted
    of_mix = conditions.mixed(mixed.share_reached, mixed.share_asked, mixed.rows, mixed.short or "")
    return f"{counted} {of_mix}"
