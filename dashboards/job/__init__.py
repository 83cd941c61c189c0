"""The dashboard of one job, from its progress down to its engines."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.models.common import TimeZoneBrowser
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType

from dashboards.job import cost, engine, failures, overview, progress, speed, texts
from dashboards.variables import datasource, one, several

UID = "rephrase-job"


def dashboard() -> Dashboard:
    """Build it."""
    fleet = (
        DashboardLink("All jobs")
        .type(DashboardLinkType.LINK)
        .url("/d/rephrase-fleet?var-datasource=${datasource}")
        .keep_time(True)
    )
    built = (
        Dashboard("Rephrase / Job")
        .uid(UID)
        .description("One RephraseJob: progress, speed, engines, failures, texts and cost.")
        .tags(["rephrase-operator"])
        .timezone(TimeZoneBrowser)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .link(fleet)
        .with_variable(datasource())
        .with_variable(one("namespace", "Namespace", "label_values(rephrase_job_info, namespace)"))
        .with_variable(
            several("model", "Model", 'label_values(rephrase_job_info{namespace="$namespace"}, model)')
        )
        .with_variable(
            one(
                "job",
                "Job",
                'label_values(rephrase_job_info{namespace="$namespace", model=~"$model"}, job)',
            )
        )
    )
    for panel in overview.panels():
        built = built.with_panel(panel)
    for title, panels in (
        ("Progress", progress.panels()),
        ("Speed", speed.panels()),
        ("Engines", engine.panels()),
        ("Workers and failures", failures.panels()),
        ("Texts", texts.panels()),
        ("Cost", cost.panels()),
    ):
        built = built.with_row(Row(title))
        for each in panels:
            built = built.with_panel(each)
    return built
