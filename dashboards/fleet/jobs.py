"""The table of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.table import Panel
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from dashboards import phases
from dashboards.queries import CHOSEN, error_share, of_fleet, per_job, series, speed_share, with_model
from dashboards.style import BLUE, GREEN, ORANGE, RED, arranged, columns, listing, mapped, prop, thresholds

JOB_LINK = (
    "/d/rephrase-job?var-datasource=${datasource}&var-namespace=${__data.fields.Namespace}"
    "&var-job=${__data.fields.Job}&${__url_time_range}"
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column whose values one query brings."""

    title: str
    expression: str
    width: int
    """In pixels. Together with the labels' columns all of them fit on a screen."""
    look: tuple[DynamicConfigValue, ...] = ()


def _steps(first: str, *steps: tuple[float, str]) -> DynamicConfigValue:
    return prop("thresholds", thresholds(first, *steps).build())


_PERCENT = prop("unit", "percentunit")
_SHORT = prop("unit", "short")
_COLORED_TEXT = prop("custom.cellOptions", {"type": "color-text"})
_BAR = prop("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"})

COLUMNS = (
    Column(
        title="Progress",
        expression=of_fleet("rephrase_job_progress_ratio"),
        width=135,
        look=(_PERCENT, prop("min", 0), prop("max", 1), _BAR, _steps(BLUE, (1, GREEN))),
    ),
    Column(
        title="Time left",
        expression=of_fleet("rephrase_job_eta_seconds"),
        width=95,
        look=(prop("unit", "s"),),
    ),
    Column(title="GPUs", expression=of_fleet("rephrase_job_gpus"), width=65),
    Column(
        title="Tokens/s",
        expression=of_fleet("rephrase_job_output_tokens_per_second"),
        width=85,
        look=(_SHORT,),
    ),
    Column(
        title="per GPU",
        expression=of_fleet("rephrase_job_output_tokens_per_second_per_gpu"),
        width=80,
        look=(_SHORT, prop("decimals", 0)),
    ),
    Column(
        title="of expected",
        expression=with_model(speed_share(CHOSEN)),
        width=105,
        look=(_PERCENT, prop("decimals", 0), _COLORED_TEXT, _steps(RED, (0.5, ORANGE), (0.8, GREEN))),
    ),
    Column(
        title="Errors",
        expression=with_model(error_share(CHOSEN)),
        width=75,
        look=(_PERCENT, prop("decimals", 1), _COLORED_TEXT, _steps(GREEN, (0.01, ORANGE), (0.05, RED))),
    ),
    Column(
        title="GPU-hours",
        expression=f"{of_fleet('rephrase_job_gpu_seconds_total')} / 3600",
        width=95,
        look=(prop("decimals", 2),),
    ),
    Column(
        title="Cost",
        expression=of_fleet("rephrase_job_cost", "currency"),
        width=85,
        look=(prop("decimals", 2),),
    ),
)
"""Each has a query of its own; Grafana joins the rows that have the same labels."""


def panel() -> Panel:
    """Build it."""
    running = with_model(f"({per_job(series('rephrase_job_phase', CHOSEN), 'phase')} == 1)")
    queries = [columns(running, "phase")]
    queries += [columns(each.expression, _ref(each)) for each in COLUMNS]
    table = listing(
        "Jobs",
        "One row for each job. Look at red cells first: under half of the speed that the profile expects, or "
        "more errors than the default of failurePolicy.maxErrorRatio. No value: the job has no profile, no "
        "price or no workers yet. `kubectl describe rephrasejob` says in words what a job waits for.",
        queries,
        width=24,
        height=8,
    )
    table = table.transformations(_transformations()).sort_by(
        [TableSortByFieldState().display_name("Tokens/s").desc(True)]
    )
    for title, look in _looks().items():
        table = table.override_by_name(title, look)
    return table


def _ref(column: Column) -> str:
    return column.title.replace("/", "_").replace(" ", "_")


def _looks() -> dict[str, list[DynamicConfigValue]]:
    link = {"title": "Open the job's dashboard", "url": JOB_LINK}
    texts = mapped({phase.value: (phase.value, color) for phase, color in phases.COLORS.items()})
    return {
        "Namespace": [prop("custom.width", 90)],
        "Job": [prop("links", [link]), prop("custom.width", 180)],
        "Model": [prop("custom.width", 285)],
        "Phase": [
            prop("mappings", [texts]),
            prop("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
            prop("custom.width", 95),
        ],
        "Currency": [prop("custom.width", 85)],
        **{column.title: [prop("custom.width", column.width), *column.look] for column in COLUMNS},
    }


def _transformations() -> list[DataTransformerConfig]:
    """From one frame for each query to one table."""
    titles = {"namespace": "Namespace", "job": "Job", "model": "Model", "phase": "Phase"}
    titles |= {f"Value #{_ref(each)}": each.title for each in COLUMNS} | {
        "currency": "Currency",
        "cluster": "Cluster",
    }
    return arranged(titles, hidden=("Time", "Value #phase"), merged=True)
