"""How far the job is."""

from __future__ import annotations

from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel

from dashboards.queries import ONE, per_job, series
from dashboards.style import (
    BLUE,
    GREEN,
    GREY,
    HEIGHT,
    RED,
    arranged,
    columns,
    fixed,
    lines,
    listing,
    mapped,
    prop,
    query,
    stacked,
)
from rephrase_operator.api.conditions import ConditionType

TELLING = (
    ConditionType.ACCEPTED,
    ConditionType.WORKERS_READY,
    ConditionType.WORKERS_CURRENT,
    ConditionType.WITHIN_ERROR_BUDGET,
    ConditionType.WITHIN_BUDGET,
    ConditionType.DIVERSE,
)
"""Conditions that should hold all the time, so that one that does not is worth a look."""


def panels() -> list[Panel | Table]:
    """The panels from left to right."""
    shards = series("rephrase_job_shards", ONE)
    return [
        lines(
            "Finished samples",
            "Share of the planned samples. A flat line while the phase is Running means that nothing gets "
            "finished: look at the workers and at failed attempts.",
            query(per_job(series("rephrase_job_progress_ratio", ONE)), "finished"),
            unit="percentunit",
            width=6,
        )
        .max(1)
        .override_by_name("finished", [fixed(BLUE)]),
        lines(
            "Time left, over time",
            "It should fall by one second each second. When it rises, workers were lost or became slower.",
            query(per_job(series("rephrase_job_eta_seconds", ONE)), "time left"),
            unit="s",
            width=6,
        )
        .no_value("no pace yet")
        .override_by_name("time left", [fixed(BLUE)]),
        stacked(
            "Shards by state",
            "Shards that are pending, running, succeeded or failed. Failed ones used up their attempts "
            "(failurePolicy.maxAttemptsPerShard): mend the cause, delete the job and apply it again; only "
            "what is missing is made.",
            query(f"max by (state) ({shards})", "{{state}}"),
            unit="short",
            width=6,
        )
        .override_by_name("succeeded", [fixed(GREEN)])
        .override_by_name("running", [fixed(BLUE)])
        .override_by_name("pending", [fixed(GREY)])
        .override_by_name("failed", [fixed(RED)]),
        _conditions(),
    ]


def _conditions() -> Table:
    telling = f'condition=~"{"|".join(kind.value for kind in TELLING)}"'
    values = mapped({"1": ("yes", GREEN), "0": ("no", RED)})
    return (
        listing(
            "Conditions",
            "Each should be yes. For one that is no, `kubectl describe rephrasejob` says why and what to do.",
            [
                columns(
                    f"max by (condition) ({series('rephrase_job_condition', ONE, telling)})",
                    "conditions",
                )
            ],
            width=6,
            height=HEIGHT,
        )
        .transformations(arranged({"condition": "Condition", "Value": "Holds"}, hidden=("Time",)))
        .override_by_name(
            "Holds",
            [
                prop("mappings", [values]),
                prop("custom.cellOptions", {"type": "color-text"}),
                prop("custom.width", 80),
            ],
        )
    )
