"""The fleet in six numbers."""

from __future__ import annotations

from grafana_foundation_sdk.builders.stat import Panel
from grafana_foundation_sdk.models.common import BigValueTextMode

from dashboards.queries import CHOSEN, cost_per_hour, of_fleet, with_model
from dashboards.style import ORANGE, RED, number, query, thresholds

RUNNING = 'phase="Running"'


def panels() -> list[Panel]:
    """The panels from left to right."""
    return [
        number(
            "Running jobs",
            "Jobs whose workers generate. Jobs in other phases are in the table below.",
            query(f"sum({of_fleet('rephrase_job_phase', matchers=(RUNNING,))})"),
            unit="short",
            width=4,
            spark=True,
        ),
        number(
            "Output tokens/s",
            "Tokens that all workers write in a second. When it falls while jobs run, look in the table "
            "for the job that lost speed.",
            query(f"sum({of_fleet('rephrase_job_output_tokens_per_second')})"),
            unit="short",
            width=4,
            spark=True,
        ),
        number(
            "GPUs held",
            "GPUs that running workers hold, those that still load their model included. 0 on CPUs.",
            query(f"sum({of_fleet('rephrase_job_gpus')})"),
            unit="short",
            width=4,
            spark=True,
        ),
        number(
            "Cost per hour",
            "What the running workers cost in an hour, by currency. Only jobs with spec.cost.gpuHourPrice "
            "count.",
            query(f"sum by (currency) ({with_model(cost_per_hour(CHOSEN))})", "{{currency}}"),
            unit="short",
            width=4,
            spark=True,
        )
        .decimals(2)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .no_value("no prices"),
        number(
            "Failed attempts",
            "Attempts at shards that failed, of the jobs that exist. They are repeated by themselves; many "
            "of one reason (see below) need somebody to look.",
            query(f"sum({of_fleet('rephrase_job_failed_attempts_total', 'reason')})"),
            unit="short",
            width=4,
        )
        .thresholds(thresholds("green", (1, ORANGE)))
        .no_value("0"),
        number(
            "Firing alerts",
            "Alerts of these jobs and of the operator that fire now. Every alert links to its section of the "
            "runbook. Always 0 where the chart's rules are not installed (metrics.prometheusRule.enabled).",
            query('count(ALERTS{alertname=~"Rephrase.+", alertstate="firing"})'),
            unit="short",
            width=4,
        )
        .thresholds(thresholds("green", (1, RED)))
        .no_value("0"),
    ]
