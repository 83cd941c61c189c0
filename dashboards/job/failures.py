"""Which workers run, and what fails."""

from __future__ import annotations

from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models.common import LineInterpolation

from dashboards.queries import ONE, per_job, series
from dashboards.style import BLUE, ORANGE, fixed, query, ranking, shades, stacked

WORST = 10


def panels() -> list[Panel | Table]:
    """The panels from left to right.

    They show counts and not rates: a series of a reason, a node or a code begins with the first failure, and
    rate() does not see a first value.
    """
    attempts = per_job(series("rephrase_job_failed_attempts_total", ONE), "reason")
    nodes = f"max by (node) ({series('rephrase_job_failed_attempts_by_node_total', ONE)})"
    errors = per_job(series("rephrase_job_sample_errors_total", ONE), "code")
    return [
        stacked(
            "Workers",
            "Worker pods that run, and that exist but don't run. Pods that wait for long need GPUs, an "
            "image, a Secret or a volume: `kubectl describe rephrasejob` says which.",
            query(per_job(series("rephrase_job_workers", ONE)), "running", ref="A"),
            query(per_job(series("rephrase_job_pending_workers", ONE)), "waiting", ref="B"),
            unit="short",
            width=6,
        )
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .override_by_name("running", [fixed(BLUE)])
        .override_by_name("waiting", [fixed(ORANGE)]),
        stacked(
            "Failed attempts by reason",
            "Failed attempts at shards since the job began. They are repeated, up to failurePolicy's limit "
            "for a shard. docs/reference/commands.md explains each reason.",
            query(attempts, "{{reason}}"),
            unit="short",
            width=6,
        )
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .color_scheme(shades(ORANGE))
        .no_value("none"),
        ranking(
            "Failed attempts by node",
            f"The {WORST} nodes with most failed attempts since the job began. One node far ahead of the "
            "others is probably broken: cordon it.",
            f"topk({WORST}, {nodes})",
            {"node": "Node"},
            "Failed attempts",
            color=ORANGE,
            width=6,
        ).no_value("none"),
        stacked(
            "Sample errors by code",
            "Documents that could not be rephrased, since the job began; each is a row with its error. "
            "docs/dataset.md explains the codes.",
            query(errors, "{{code}}"),
            unit="short",
            width=6,
        )
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .color_scheme(shades(ORANGE))
        .no_value("none"),
    ]
