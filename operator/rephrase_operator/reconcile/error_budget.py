"""Policy: a job is suspended when more than `failurePolicy.maxErrorRatio` of its samples are errors.

The share that was reached is kept in the status and never falls, because the errors stay in the dataset. The
job goes on when the limit is raised above that share.
"""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.policies import FailurePolicy
from rephrase_operator.api.status import Progress
from rephrase_operator.observed.progress import error_ratio


@dataclass(frozen=True)
class ErrorBudget:
    """The verdict."""

    reached: float | None
    """For the status: the share of errors that stopped the job; None while the job is not stopped."""
    message: str

    @property
    def exceeded(self) -> bool:
        """True while errors stop the job."""
        return self.reached is not None

    @property
    def reason(self) -> ConditionReason:
        """Reason of the condition."""
        return ConditionReason.TOO_MANY_ERRORS if self.exceeded else ConditionReason.FEW_ERRORS


def judge(policy: FailurePolicy, reached: float | None, progress: Progress) -> ErrorBudget:
    """Judge the samples so far. `reached` is the share that the status remembers."""
    ratio = round(error_ratio(progress), 6)
    enough = progress.documents >= policy.min_documents
    worst = ratio if reached is None else max(reached, ratio)
    if (enough or reached is not None) and worst > policy.max_error_ratio:
        return ErrorBudget(worst, conditions.too_many_errors(worst, policy.max_error_ratio))
    message = f"{ratio:.2%} of the samples are errors." if enough else "Too few documents to judge by."
    return ErrorBudget(None, message)
