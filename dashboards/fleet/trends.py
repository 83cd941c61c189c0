"""How speed and cost develop."""

from __future__ import annotations

from grafana_foundation_sdk.builders.timeseries import Panel

from dashboards.queries import CHOSEN, cost_per_hour, of_fleet, speed_share, with_model
from dashboards.style import lines, query, stacked

FEW = 10
"""Jobs of which a panel shows the worst, so that it stays readable."""


def panels() -> list[Panel]:
    """The panels from left to right."""
    return [
        stacked(
            "Output tokens/s by model",
            "Tokens that all workers write in a second. A step down is a job that ended or lost workers; a "
            "slow decline is an engine that slows down.",
            query(f"sum by (model) ({of_fleet('rephrase_job_output_tokens_per_second')})", "{{model}}"),
            unit="short",
            width=6,
        ),
        lines(
            "Speed as a share of the profile's",
            f"The {FEW} slowest jobs, compared with what their engine profile expects of each GPU. Under "
            "50% for more than some minutes: open the job and look at its slowest workers, KV cache and "
            "preemptions.",
            query(f"bottomk({FEW}, {with_model(speed_share(CHOSEN))})", "{{namespace}}/{{job}}"),
            unit="percentunit",
            width=6,
        ).no_value("no job with a profile"),
        stacked(
            "GPUs held by model",
            "GPUs of running workers. When it is less than you gave the jobs, look at the pods that wait.",
            query(f"sum by (model) ({of_fleet('rephrase_job_gpus')})", "{{model}}"),
            unit="short",
            width=6,
        ),
        stacked(
            "Cost per hour by namespace",
            "GPUs held, failed pods included, times the price of their job. Set spec.cost.maxCost to hold "
            "a job that becomes too expensive.",
            query(
                f"sum by (namespace, currency) ({with_model(cost_per_hour(CHOSEN))})",
                "{{namespace}} ({{currency}})",
            ),
            unit="short",
            width=6,
        ).no_value("no prices"),
    ]
