"""What a job has spent, and what its budget does: every second of every pod counts once."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import Phase
from rephrase_operator.commands.display import screen
from rephrase_operator.observed.views import Step
from rephrase_operator.runtime.metrics import Metrics
from rephrase_worker.spec import ShardGroup, Statistics
from tests.operator.builders import ON_CPUS, World, spec_of
from tests.operator.test_metrics import series
from tests.operator.test_validity import job_of, refusals

STATISTICS = Statistics(
    documents=30,
    documents_low=30,
    documents_high=30,
    sampled=30,
    prompt_tokens=400.0,
    prompt_tokens_low=400.0,
    prompt_tokens_high=400.0,
    output_tokens=1_000_000.0,
    output_tokens_low=500_000.0,
    output_tokens_high=2_000_000.0,
    shards=[ShardGroup(shards=3, documents=10)],
)
"""30M output tokens at 4,677 a second, and three times 100 s of start-up: 1.87 hours."""


def world(**spec: Any) -> World:
    return World(raw=spec_of(**spec)).planned(statistics=STATISTICS)


def hours(found: World) -> float:
    assert found.status.cost is not None
    return found.status.cost.gpu_seconds / 3600


def test_the_estimate_is_there_when_the_plan_is() -> None:
    found = world(cost={"gpuHourPrice": 3.0, "currency": "USD"}).status.estimate
    assert found is not None
    assert found.output_tokens.expected == 30e6
    assert found.gpu_hours is not None
    assert found.gpu_hours.expected == pytest.approx(30e6 / 4677 / 3600 + 300 / 3600, rel=1e-3)
    assert found.cost is not None
    assert found.cost.expected == pytest.approx(found.gpu_hours.expected * 3, abs=0.01)
    assert found.summary == "1.9 GPU-hours, 5.60 USD"


def test_the_estimate_follows_parallelism_and_price() -> None:
    job = world()
    first = job.status.estimate
    assert first is not None
    assert first.cost is None
    second = job.edit(parallelism=3, cost={"gpuHourPrice": 1.0, "currency": "USD"}).run().status.estimate
    assert second is not None
    assert second.cost is not None
    assert first.wall_seconds is not None
    assert second.wall_seconds is not None
    assert second.wall_seconds.expected < first.wall_seconds.expected


def test_an_older_worker_measures_nothing_and_the_job_runs() -> None:
    job = World().planned()
    assert job.status.estimate is None
    assert job.phase is Phase.RUNNING


def test_an_estimate_above_the_budget_holds_the_job_before_a_gpu_is_asked_for() -> None:
    job = world(cost={"maxGpuHours": 1.0})
    assert job.jobs["generate"].suspended
    assert (job.phase, job.reason(ConditionType.WITHIN_BUDGET)) == (Phase.SUSPENDED, "False/OverBudget")
    assert job.status.message is not None
    assert "raise cost.maxGpuHours to 1.87 or more" in job.status.message
    assert [event.reason for event in job.events].count("OverBudget") == 1
    job.edit(cost={"maxGpuHours": 1.87}).run()
    assert not job.jobs["generate"].suspended
    assert (job.phase, job.reason(ConditionType.WITHIN_BUDGET)) == (Phase.RUNNING, "True/WithinBudget")


def test_a_budget_that_is_removed_lets_the_job_go_on() -> None:
    job = world(cost={"maxGpuHours": 1.0}).edit(cost=None).run()
    assert not job.jobs["generate"].suspended
    assert job.reason(ConditionType.WITHIN_BUDGET) == "True/WithinBudget"


def test_a_budget_lowered_while_the_job_runs_holds_it_until_it_is_raised() -> None:
    job = world(cost={"maxGpuHours": 10.0}).running(0).run()
    job.after(hours=2).run()
    assert hours(job) == pytest.approx(2)
    job.edit(cost={"maxGpuHours": 1.5}).run()
    assert job.jobs["generate"].suspended
    assert job.status.message is not None
    assert "Suspending: 1 workers" in job.status.message
    job.fail_pod(0, exit_code=75, reason=None).run()
    assert job.phase is Phase.SUSPENDED
    assert "spent 2 GPU-hours, more than cost.maxGpuHours (1.5)" in (job.status.message or "")
    job.edit(cost={"maxGpuHours": 3.0}).run()
    assert not job.jobs["generate"].suspended


def test_suspended_by_the_user_and_over_budget_at_once() -> None:
    job = world(cost={"maxGpuHours": 1.0}).edit(suspend=True).run()
    assert job.phase is Phase.SUSPENDED
    assert (job.status.message or "").startswith("The job is suspended. And: The job is estimated at")
    job.edit(cost={"maxGpuHours": 100.0}).run()
    assert job.phase is Phase.SUSPENDED
    assert job.status.message == "The job is suspended."
    job.edit(suspend=False).run()
    assert not job.jobs["generate"].suspended
    job.edit(cost={"maxGpuHours": 1.0}).run()
    assert job.jobs["generate"].suspended


def test_failed_and_finished_and_running_pods_count_once_each() -> None:
    job = world(cost={"gpuHourPrice": 2.0, "currency": "USD"}).running(0).running(1).run()
    job.after(hours=1).fail_pod(0).run()
    job.after(hours=1).succeed(1).running(0, attempt=2).run()
    job.after(hours=1).run()
    job.run()
    assert hours(job) == pytest.approx(1 + 2 + 1)
    assert job.status.cost is not None
    assert (job.status.cost.cost, job.status.cost.currency) == (8.0, "USD")


def test_gpus_of_a_worker_all_count() -> None:
    job = world(engine={"tensorParallelSize": 4}).running(0).run().after(hours=1).run()
    assert hours(job) == pytest.approx(4)


def test_pods_that_vanish_after_a_pass_stay_counted() -> None:
    job = world().running(0).run().after(hours=1).run()
    job.pods.clear()
    job.after(hours=5).run()
    assert hours(job) == pytest.approx(1)


@given(st.lists(st.integers(1, 900), max_size=12))
def test_the_sum_does_not_depend_on_when_passes_are_made(steps: list[int]) -> None:
    """Passes come at any time; the last one is long after the pods have ended."""
    job = world().running(0).running(1)
    started = job.now
    for step in steps:
        job.after(seconds=step).run(1)
    total = sum(steps) + 100
    job.now = started
    job.after(seconds=total)
    for shard in (0, 1):
        job.end_pod(shard, state="failed", exit_code=75)
    job.after(seconds=1000).run()
    assert job.status.cost is not None
    assert job.status.cost.gpu_seconds == pytest.approx(2 * total)


def test_the_metrics_of_a_job() -> None:
    job = (
        world(cost={"gpuHourPrice": 2.0, "currency": "USD", "maxGpuHours": 5, "maxCost": 10})
        .running(0)
        .run()
        .after(hours=1)
        .run()
    )
    metrics = Metrics()
    metrics.show(job.shown)
    found = series(metrics)
    assert found["rephrase_job_gpu_seconds_total", "books", "default"] == 3600
    assert found["rephrase_job_cost", "USD", "books", "default"] == 2
    assert found["rephrase_job_gpu_hour_price", "USD", "books", "default"] == 2
    assert found["rephrase_job_budget_cost", "USD", "books", "default"] == 10
    assert found["rephrase_job_budget_gpu_seconds", "books", "default"] == 5 * 3600
    assert found["rephrase_job_estimated_gpu_seconds", "books", "default"] == pytest.approx(6715, rel=0.01)


def test_planning_costs_nothing() -> None:
    job = World().run().pod(Step.PLAN, "plan", phase="Running").run().after(hours=1).run()
    assert job.status.cost is None


@pytest.mark.parametrize(
    ("cost", "field"),
    [
        ({"gpuHourPrice": 3}, "spec.cost.currency"),
        ({"currency": "USD"}, "spec.cost.currency"),
        ({"maxCost": 3}, "spec.cost.maxCost"),
        ({"gpuHourPrice": -1, "currency": "USD"}, "spec.cost.gpuHourPrice"),
        ({"gpuHourPrice": 1, "currency": "dollar"}, "spec.cost.currency"),
        ({"maxGpuHours": -1}, "spec.cost.maxGpuHours"),
    ],
)
def test_the_api_server_refuses_what_means_nothing(cost: dict[str, Any], field: str) -> None:
    assert field in refusals(job_of(cost=cost))


def test_the_budget_may_change_while_the_job_runs() -> None:
    old = job_of(cost={"maxGpuHours": 1}) | {"status": {"startTime": "2026-01-01T12:00:00Z"}}
    new = job_of(cost={"maxGpuHours": 2}) | {"status": {"startTime": "2026-01-01T12:00:00Z"}}
    assert not refusals(new, old)


def test_a_job_that_is_done_is_not_held() -> None:
    job = world(cost={"maxGpuHours": 40}).running(0).running(1).running(2).run().after(hours=50)
    for shard in range(3):
        job.succeed(shard)
    job.job_says(Step.GENERATE, complete=True).run()
    assert job.phase is Phase.FINALIZING


def test_without_a_pace_the_estimate_has_tokens_only() -> None:
    job = World(settings=ON_CPUS).planned(statistics=STATISTICS)
    found = job.status.estimate
    assert found is not None
    assert (found.gpu_hours, found.wall_seconds, found.cost) == (None, None, None)
    assert found.summary == "30,000,000 tokens out"


def test_the_display_shows_what_was_taken_beside_the_estimate() -> None:
    job = world(cost={"gpuHourPrice": 3.0, "currency": "USD"}).running(0, output_tokens=1000).run()
    job.after(hours=1).run()
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(screen("books", job.status))
    shown = console.export_text()
    for part in ("1,000 of 30,000,000 expected", "1.00 of 1.87 expected", "cost (USD)", "3.00 of 5.60"):
        assert part in shown
