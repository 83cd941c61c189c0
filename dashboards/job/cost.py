"""What the job takes, against its estimate and its budget."""

from __future__ import annotations

from grafana_foundation_sdk.builders.timeseries import Panel

from dashboards.queries import ONE, on_job, per_job, series
from dashboards.style import BLUE, RED, dashed, fixed, lines, query

HOURS = "/ 3600"


def panels() -> list[Panel]:
    """The panels from left to right."""
    estimate = per_job(series("rephrase_job_estimated_gpu_seconds", ONE))
    price = per_job(series("rephrase_job_gpu_hour_price", ONE), "currency")
    return [
        _against_limits(
            lines(
                "GPU-hours against estimate and budget",
                "Time that worker pods held GPUs, what the whole job was expected to take, and "
                "spec.cost.maxGpuHours. Far above the estimate before the end: compare the speed with the "
                "profile's. On CPUs: time of the pods.",
                query(f"{per_job(series('rephrase_job_gpu_seconds_total', ONE))} {HOURS}", "spent", ref="A"),
                query(f"{estimate} {HOURS}", "estimate", ref="B"),
                query(
                    f"{per_job(series('rephrase_job_budget_gpu_seconds', ONE))} {HOURS}", "budget", ref="C"
                ),
                unit="short",
                width=12,
            )
        ),
        _against_limits(
            lines(
                "Cost against estimate and budget",
                "GPU-hours times the price, in the price's currency, with the estimate and "
                "spec.cost.maxCost. At the budget the operator suspends the job; raise it to go on.",
                query(per_job(series("rephrase_job_cost", ONE), "currency"), "spent ({{currency}})", ref="A"),
                query(
                    f"{price} * {on_job()} {estimate} {HOURS}",
                    "estimate ({{currency}})",
                    ref="B",
                ),
                query(
                    per_job(series("rephrase_job_budget_cost", ONE), "currency"),
                    "budget ({{currency}})",
                    ref="C",
                ),
                unit="short",
                width=12,
            ).no_value("no price")
        ),
    ]


def _against_limits(panel: Panel) -> Panel:
    return (
        panel.override_by_regexp("/^spent/", [fixed(BLUE)])
        .override_by_regexp("/^estimate/", dashed())
        .override_by_regexp("/^budget/", dashed(RED))
    )
