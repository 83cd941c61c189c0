"""Policy: a job is held when it would pass, or has passed, `cost.maxGpuHours` or `cost.maxCost`.

Before the first worker has run it is judged by its estimate, afterwards by what was spent: an estimate made
beforehand must not stop a job that turns out cheaper. The job goes on when the limit is raised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.policies import Cost
from rephrase_operator.api.status import CostStatus, EstimateStatus


@dataclass(frozen=True)
class CostBudget:
    """The verdict."""

    limited: bool
    """Whether there is a budget at all."""
    exceeded: bool
    message: str

    @property
    def reason(self) -> ConditionReason:
        """Reason of the condition."""
        return ConditionReason.OVER_BUDGET if self.exceeded else ConditionReason.WITHIN_BUDGET


def judge(policy: Cost | None, estimate: EstimateStatus | None, spent: CostStatus | None) -> CostBudget:
    """Judge what the job has spent, or will."""
    if policy is None or (policy.max_gpu_hours is None and policy.max_cost is None):
        return CostBudget(False, False, "There is no budget.")
    hours = _hours(estimate, spent)
    if hours is None:
        return CostBudget(
            True, False, "What the job will take is not known; it is held when it has spent the budget."
        )
    over = [
        f"{_shown(value)} {unit}, more than cost.{name} ({_plain(limit)})"
        for name, limit, value, unit in _limits(policy, hours)
        if value > limit
    ]
    begun = spent is not None
    if not over:
        text = ", ".join(
            f"{_shown(value)} of {_plain(limit)} {unit}" for _, limit, value, unit in _limits(policy, hours)
        )
        return CostBudget(True, False, f"{'Spent' if begun else 'Estimated'}: {text}.")
    enough = " and ".join(
        f"cost.{name} to {_shown(value)} or more"
        for name, limit, value, _ in _limits(policy, hours)
        if value > limit
    )
    if begun:
        total = estimate.gpu_hours if estimate else None
        whole = f" The whole job was estimated at {_shown(total.expected)} GPU-hours." if total else ""
        message = (
            f"The job has spent {' and '.join(over)}. What is committed is kept. To go on, raise {enough}."
            f"{whole}"
        )
    else:
        message = (
            f"The job is estimated at {' and '.join(over)}. Nothing is spent yet. To start it, raise "
            f"{enough}. Or make a smaller job: source.maxDocuments, fewer prompts, sampling.maxTokens."
        )
    return CostBudget(True, True, message)


def _hours(estimate: EstimateStatus | None, spent: CostStatus | None) -> float | None:
    if spent is not None:
        return spent.gpu_seconds / 3600
    return estimate.gpu_hours.expected if estimate and estimate.gpu_hours else None


def _limits(policy: Cost, hours: float) -> list[tuple[str, float, float, str]]:
    """Each limit: its field, its value, what it is held against, and the unit."""
    found: list[tuple[str, float, float, str]] = []
    if policy.max_gpu_hours is not None:
        found.append(("maxGpuHours", policy.max_gpu_hours, hours, "GPU-hours"))
    if policy.max_cost is not None and policy.gpu_hour_price is not None:
        found.append(("maxCost", policy.max_cost, hours * policy.gpu_hour_price, policy.currency or ""))
    return found


def _shown(value: float) -> str:
    """Rounded up, so that a limit of this figure is enough."""
    digits = 0 if value >= 1000 else 2 if value >= 0.1 else 6
    return _plain(math.ceil(value * 10**digits) / 10**digits)


def _plain(value: float) -> str:
    """All digits that are not zeros at the end, and no exponent: a figure that can go into a spec."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
