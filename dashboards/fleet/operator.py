"""Whether the operator keeps up."""

from __future__ import annotations

from grafana_foundation_sdk.builders.timeseries import Panel

from dashboards.queries import rate
from dashboards.style import RED, fixed, lines, query

DURATIONS = "rephrase_operator_reconcile_duration_seconds_bucket"


def panels() -> list[Panel]:
    """The panels from left to right."""
    buckets = f"sum by (le) ({rate(DURATIONS)})"
    return [
        lines(
            "Time of a pass over a job",
            "How long the operator takes to bring one job from what is to what should be. Above a second for "
            "most passes: the API server is slow, or the operator needs more CPU.",
            query(f"histogram_quantile(0.5, {buckets})", "median", ref="A"),
            query(f"histogram_quantile(0.99, {buckets})", "99%", ref="B"),
            unit="s",
            width=12,
        ),
        lines(
            "Passes",
            "Passes over jobs in a second, and those that failed. A failed pass is repeated, later each "
            "time. When failures go on, the operator's log has the error with the job's name.",
            query(f"sum({rate('rephrase_operator_reconcile_duration_seconds_count')})", "all", ref="A"),
            query(f"sum({rate('rephrase_operator_reconcile_errors_total')})", "failed", ref="B"),
            unit="ops",
            width=12,
        ).override_by_name("failed", [fixed(RED)]),
    ]
