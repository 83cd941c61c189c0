"""The dashboard of all jobs: which run, how fast, at what cost, and which of them need somebody to look."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models.common import TimeZoneBrowser
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from dashboards.fleet import jobs, operator, overview, trends, troubles
from dashboards.variables import datasource, several

UID = "rephrase-fleet"


def dashboard() -> Dashboard:
    """Build it."""
    built = (
        Dashboard("Rephrase / Fleet")
        .uid(UID)
        .description("All RephraseJobs. Click a job's name for its own dashboard.")
        .tags(["rephrase-operator"])
        .timezone(TimeZoneBrowser)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .with_variable(datasource())
        .with_variable(several("namespace", "Namespace", "label_values(rephrase_job_info, namespace)"))
        .with_variable(
            several("model", "Model", 'label_values(rephrase_job_info{namespace=~"$namespace"}, model)')
        )
        .with_variable(
            several(
                "job",
                "Job",
                'label_values(rephrase_job_info{namespace=~"$namespace", model=~"$model"}, job)',
            )
        )
    )
    for panel in (*overview.panels(), jobs.panel()):
        built = built.with_panel(panel)
    for title, panels in (
        ("Speed and cost", trends.panels()),
        ("What goes wrong", troubles.panels()),
        ("The operator itself", operator.panels()),
    ):
        built = built.with_row(Row(title))
        for panel in panels:
            built = built.with_panel(panel)
    return built
