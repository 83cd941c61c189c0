"""Policy: a prompt whose texts open alike is named, and suspends the job if the user wants that.

A model that writes from templates gives data that looks correct and trains worse (Synthetic Data Playbook).
The measure is the playbook's: the share of a prompt's texts that begin with the same first sentence. When
it has stopped the job, the share is kept in the status: workers that stop take their part of the figures
with them. The job goes on when the limit is raised above that share, or when it shall only warn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.policies import TemplateCollapse
from rephrase_operator.api.status import Collapse, PromptTexts


@dataclass(frozen=True)
class Verdict:
    """The verdict."""

    diverse: bool | None
    """None while there are too few texts to judge by."""
    reached: Collapse | None
    """For the status: what stops the job; None while the job is not stopped."""
    reason: ConditionReason
    message: str

    @property
    def exceeded(self) -> bool:
        """True while the job is stopped."""
        return self.reached is not None


def judge(policy: TemplateCollapse, known: Collapse | None, texts: Mapping[str, PromptTexts]) -> Verdict:
    """Judge the texts so far. `known` is what the status remembers to have stopped the job."""
    found = [known] if known is not None else []
    judged = {name: each for name, each in texts.items() if each.samples >= policy.min_samples}
    found += [
        Collapse(prompt=name, opening=each.top_opening, share=each.top_opening_share)
        for name, each in judged.items()
        if each.top_opening is not None
    ]
    worst = max(found, key=lambda one: one.share, default=None)
    if worst is not None and worst.share > policy.max_share:
        suspends = policy.action == "Suspend"
        message = conditions.template_collapse(
            worst.prompt, worst.opening, worst.share, policy.max_share, suspends=suspends
        )
        return Verdict(False, worst if suspends else None, ConditionReason.TEMPLATE_COLLAPSE, message)
    if not judged:
        return Verdict(None, None, ConditionReason.FEW_TEXTS, "Too few texts to judge by.")
    share = 0.0 if worst is None else worst.share
    return Verdict(
        True,
        None,
        ConditionReason.VARIED,
        f"At most {share:.1%} of a prompt's texts open with the same sentence.",
    )
