"""What goes wrong, and where."""

from __future__ import annotations

from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models.common import LineInterpolation

from dashboards.fleet import alerts
from dashboards.fleet.trends import FEW
from dashboards.queries import CHOSEN, error_share, of_fleet, with_model
from dashboards.style import ORANGE, lines, query, shades, stacked


def panels() -> list[Panel | Table]:
    """The panels from left to right."""
    return [
        alerts.panel(),
        stacked(
            "Failed attempts by reason",
            "Failed attempts of all jobs that exist, counted from their start. A step up is a failure that "
            "just happened; docs/reference/commands.md explains the reasons. It falls when a job is "
            "deleted.",
            # The count and not its rate: a reason's series begins with its first failure, and rate() does
            # not see a first value.
            query(
                f"sum by (reason) ({of_fleet('rephrase_job_failed_attempts_total', 'reason')})", "{{reason}}"
            ),
            unit="short",
        )
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .color_scheme(shades(ORANGE))
        .no_value("none"),
        lines(
            "Workers that wait, by job",
            f"Worker pods that exist and don't run, of the {FEW} jobs with the most. When it stays above "
            "zero: `kubectl describe rephrasejob` names what they wait for (GPUs, images, Secrets, "
            "volumes).",
            query(f"topk({FEW}, {of_fleet('rephrase_job_pending_workers')})", "{{namespace}}/{{job}}"),
            unit="short",
        ).axis_soft_max(1),
        lines(
            "Share of errors, by job",
            f"Samples that are errors, of the {FEW} jobs with the largest share. Above "
            "failurePolicy.maxErrorRatio (5% by default) a job is suspended; open it for the codes.",
            query(f"topk({FEW}, {with_model(error_share(CHOSEN))})", "{{namespace}}/{{job}}"),
            unit="percentunit",
        ),
    ]
