"""The job in eight numbers."""

from __future__ import annotations

from grafana_foundation_sdk.builders.stat import Panel
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueTextMode

from dashboards import phases
from dashboards.queries import ONE, error_share, per_job, series, speed_share
from dashboards.style import BLUE, GREEN, ORANGE, RED, fixed, number, query, thresholds


def panels() -> list[Panel]:
    """The panels from left to right."""
    return [
        _phase(),
        number(
            "Progress",
            "Share of the planned samples that are finished and committed.",
            query(per_job(series("rephrase_job_progress_ratio", ONE))),
            unit="percentunit",
            width=3,
            spark=True,
        )
        .decimals(1)
        .thresholds(thresholds(BLUE, (1, GREEN))),
        number(
            "Time left",
            "At the mean pace of the workers. No value before the first workers have a pace, and after the "
            "end.",
            query(per_job(series("rephrase_job_eta_seconds", ONE)), instant=True),
            unit="s",
            width=3,
        ).no_value("-"),
        number(
            "Output tokens/s",
            "Tokens that all workers write in a second, as in `kubectl get rephrasejobs`. 0 while engines "
            "start.",
            query(per_job(series("rephrase_job_output_tokens_per_second", ONE))),
            unit="short",
            width=3,
            spark=True,
        ),
        number(
            "Of the profile's speed",
            "Output tokens/s/GPU as a share of what the engine profile expects. Under 50% (red): look at "
            "the slowest workers, the KV cache and preemptions below. No value without a profile or "
            "without GPUs.",
            query(speed_share(ONE)),
            unit="percentunit",
            width=3,
        )
        .thresholds(thresholds(RED, (0.5, ORANGE), (0.8, GREEN)))
        .decimals(0)
        .no_value("no profile"),
        number(
            "Errors",
            "Share of the samples that are errors. Above failurePolicy.maxErrorRatio (5% by default) the "
            "operator suspends the job. The panel of errors by code says why.",
            query(error_share(ONE)),
            unit="percentunit",
            width=3,
        )
        .thresholds(thresholds(GREEN, (0.01, ORANGE), (0.05, RED)))
        .decimals(1)
        .no_value("-"),
        number(
            "GPU-hours",
            "Time that worker pods held GPUs, start-up and failed pods included. On CPUs: time of the pods.",
            query(f"{per_job(series('rephrase_job_gpu_seconds_total', ONE))} / 3600"),
            unit="short",
            width=3,
        ).decimals(2),
        number(
            "Cost",
            "GPU-hours times spec.cost.gpuHourPrice. The panels at the end compare it with estimate and "
            "budget.",
            query(per_job(series("rephrase_job_cost", ONE), "currency"), "{{currency}}"),
            unit="short",
            width=3,
        )
        .decimals(2)
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .no_value("no price"),
    ]


def _phase() -> Panel:
    panel = (
        number(
            "Phase",
            "Where the job is. When it stays Pending or becomes Suspended or Failed, the conditions below "
            "and `kubectl describe rephrasejob` say why.",
            query(f"max by (phase) ({series('rephrase_job_phase', ONE)} == 1)", "{{phase}}", instant=True),
            unit="short",
            width=3,
        )
        .text_mode(BigValueTextMode.NAME)
        .color_mode(BigValueColorMode.BACKGROUND)
        .no_value("no such job")
    )
    for phase, color in phases.COLORS.items():
        panel = panel.override_by_name(phase.value, [fixed(color)])
    return panel
