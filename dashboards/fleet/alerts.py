"""The alerts of the chart's rules."""

from __future__ import annotations

from grafana_foundation_sdk.builders.table import Panel

from dashboards.fleet.jobs import JOB_LINK
from dashboards.style import ORANGE, RED, arranged, columns, listing, mapped, prop

TITLES = {
    "alertname": "Alert",
    "namespace": "Namespace",
    "job": "Job",
    "severity": "Severity",
    "alertstate": "State",
    "cluster": "Cluster",
}
"""Labels of an alert in the order of the columns."""

ALERTS = 'ALERTS{alertname=~"Rephrase.+"}'


def panel() -> Panel:
    """Build it."""
    severity = mapped({"critical": ("critical", RED), "warning": ("warning", ORANGE)})
    state = mapped({"firing": ("firing", RED), "pending": ("pending", ORANGE)})
    colored = prop("custom.cellOptions", {"type": "color-text"})
    return (
        listing(
            "Alerts",
            "Alerts that fire, or will fire if their condition holds on. docs/runbook.md has a section for "
            "each. Empty where the chart's rules are not installed.",
            [columns(f"max by ({', '.join(TITLES)}) ({ALERTS})", "A")],
            width=24,
            height=5,
        )
        .transformations(arranged(TITLES, hidden=("Time", "Value")))
        .override_by_name("Severity", [prop("mappings", [severity]), colored])
        .override_by_name("State", [prop("mappings", [state]), colored])
        .override_by_name("Job", [prop("links", [{"title": "Open the job's dashboard", "url": JOB_LINK}])])
        .no_value("none")
    )
