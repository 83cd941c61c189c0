"""The cost budget: when does money stop a job, and what lets it go on?"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rephrase_operator.api.policies import Cost
from rephrase_operator.api.status import CostStatus, EstimateStatus, Range
from rephrase_operator.reconcile.cost_budget import judge
from tests.operator.builders import START

PRICED = Cost(gpu_hour_price=3.0, currency="EUR", max_cost=300.0)
NONE = Range(low=1, expected=1, high=1)


def estimated(hours: float | None) -> EstimateStatus:
    span = None if hours is None else Range(low=hours / 2, expected=hours, high=hours * 2)
    return EstimateStatus(documents=NONE, prompt_tokens=NONE, output_tokens=NONE, gpu_hours=span, asked="x")


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    policy: Cost | None
    estimate: float | None = None
    """GPU-hours."""
    spent: float | None = None
    exceeded: bool
    says: str = ""


ROWS = [
    Row(name="no policy", policy=None, estimate=1e6, exceeded=False),
    Row(
        name="a price alone is no budget",
        policy=Cost(gpu_hour_price=3, currency="EUR"),
        spent=1e6,
        exceeded=False,
    ),
    Row(name="an estimate within it", policy=Cost(max_gpu_hours=100), estimate=99.0, exceeded=False),
    Row(name="an estimate that is the limit", policy=Cost(max_gpu_hours=100), estimate=100.0, exceeded=False),
    Row(
        name="an estimate above it",
        policy=Cost(max_gpu_hours=100),
        estimate=880.123,
        exceeded=True,
        says="raise cost.maxGpuHours to 880.13 or more",
    ),
    Row(
        name="the same, raised as the message says",
        policy=Cost(max_gpu_hours=880.13),
        estimate=880.123,
        exceeded=False,
    ),
    Row(name="a limit of nothing", policy=Cost(max_gpu_hours=0), estimate=0.001, exceeded=True),
    Row(
        name="large limits are shown in full",
        policy=Cost(max_gpu_hours=1_234_567),
        estimate=2_345_678.0,
        exceeded=True,
        says="more than cost.maxGpuHours (1234567)",
    ),
    Row(
        name="so are tiny figures",
        policy=Cost(max_gpu_hours=0),
        estimate=0.000001,
        exceeded=True,
        says="to 0.000001 or more",
    ),
    Row(name="a cost within it", policy=PRICED, estimate=100.0, exceeded=False),
    Row(
        name="a cost above it",
        policy=PRICED,
        estimate=101.0,
        exceeded=True,
        says="cost.maxCost to 303 or more",
    ),
    Row(
        name="both limits",
        policy=Cost(gpu_hour_price=3, currency="EUR", max_cost=30, max_gpu_hours=5),
        estimate=20.0,
        exceeded=True,
        says="raise cost.maxGpuHours to 20 or more and cost.maxCost to 60 or more",
    ),
    Row(name="nothing is known beforehand", policy=Cost(max_gpu_hours=1), exceeded=False, says="not known"),
    Row(name="spending within it", policy=Cost(max_gpu_hours=10), estimate=9.0, spent=10.0, exceeded=False),
    Row(
        name="spending above it",
        policy=Cost(max_gpu_hours=10),
        estimate=30.0,
        spent=10.01,
        exceeded=True,
        says="raise cost.maxGpuHours to 10.01 or more. The whole job was estimated at 30 GPU-hours",
    ),
    Row(
        name="a running job is not stopped by its estimate",
        policy=Cost(max_gpu_hours=10),
        estimate=30.0,
        spent=9.0,
        exceeded=False,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_budget(row: Row) -> None:
    spent = None if row.spent is None else CostStatus(gpu_seconds=row.spent * 3600, until=START)
    budget = judge(row.policy, estimated(row.estimate), spent)
    assert budget.exceeded is row.exceeded
    assert row.says in budget.message
    assert budget.reason == ("OverBudget" if row.exceeded else "WithinBudget")
