"""What the page shows, from what Prometheus has answered."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scripts.demo.page.panels import LISTS, Panel

SCRAPE_SECONDS = 2.0
"""How often Prometheus asks the operator and the workers."""

POINTS = 200
"""Points of a series; more could not be told apart on a phone or in a third of a screen."""

RECENT_SECONDS = 30.0
"""A value of a running job is shown no longer than this."""

BEFORE_SECONDS = 2.0
"""What is shown before the start of a job."""

RANGES = {"run": 0.0, "15m": 900.0, "1h": 3600.0}
"""The time ranges that the page offers, in seconds back from now; `run` is the whole run of the job."""

STARTED = "rephrase_job_start_timestamp_seconds"
COMPLETED = "rephrase_job_completion_timestamp_seconds"
JOBS = f'{{__name__=~"{STARTED}|{COMPLETED}"}}'
"""The query whose answer `runs` reads."""

Answer = Sequence[Mapping[str, Any]]
"""`data.result` of Prometheus' API: series with `metric`, and `value` or `values`."""


@dataclass(frozen=True)
class Run:
    """When a job ran, in seconds since 1970."""

    namespace: str
    job: str
    started: float
    completed: float | None

    @property
    def key(self) -> str:
        """Its name in the page's address."""
        return f"{self.namespace}/{self.job}"


@dataclass(frozen=True)
class Window:
    """The time that the panels show."""

    start: float
    end: float
    step: float
    live: bool
    """The job runs: a value that is not recent says nothing."""


def runs(answer: Answer) -> list[Run]:
    """The jobs that Prometheus knows, those that began last first."""
    times: dict[tuple[str, str], dict[str, float]] = {}
    for series in answer:
        labels = series["metric"]
        key = labels["namespace"], labels["job"]
        times.setdefault(key, {})[labels["__name__"]] = float(series["value"][1])
    found = [
        Run(namespace, job, seen[STARTED], seen.get(COMPLETED))
        for (namespace, job), seen in times.items()
        if STARTED in seen
    ]
    return sorted(found, key=lambda run: -run.started)


def chosen(found: Sequence[Run], key: str) -> Run | None:
    """The job that the page asks for, or else the one that began last."""
    return next((run for run in found if run.key == key), found[0] if found else None)


def window(run: Run, name: str, now: float) -> Window:
    """The time range of a name in RANGES. Raises KeyError for another one."""
    back, live = RANGES[name], run.completed is None
    start, end = now - back, now
    if name == "run":
        start = run.started - BEFORE_SECONDS
        end = now if run.completed is None else min(now, run.completed + after(run.started, run.completed))
    step = max(SCRAPE_SECONDS, (end - start) / POINTS)
    return Window(start, end, step, live)


def after(started: float, completed: float) -> float:
    """Seconds that are shown after the end of a job: some points, so that what ends with it has ended."""
    return max(5 * SCRAPE_SECONDS, (completed - started) * 5 / POINTS)


def variables(run: Run, shown: Window) -> dict[str, str]:
    """Values of the dashboard's variables. The rate's interval is what Grafana would take."""
    rate = max(shown.step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
    return {
        "namespace": run.namespace,
        "job": run.job,
        "model": ".*",
        "__rate_interval": f"{math.ceil(rate)}s",
        "__interval": f"{math.ceil(shown.step)}s",
        "__range": f"{math.ceil(shown.end - shown.start)}s",
    }


def filled_panel(panel: Panel, answers: Sequence[Answer], shown: Window) -> dict[str, Any]:
    """A panel as the page draws it; `answers` has one answer for each of its queries.

    `series` are lists of points. `values` are the values at the last moment that has any, unless that is too
    long ago. Lists of a job that has ended stay as they were last, because workers end before their job.
    """
    series = [
        (named(query.legend, one["metric"]), points(one["values"]))
        for query, answer in zip(panel.queries, answers, strict=True)
        for one in answer
    ]
    series = [(name, found) for name, found in series if found]
    last = max((found[-1][0] for _, found in series), default=0.0)
    if last < shown.end - (RECENT_SECONDS if shown.live else 2 * shown.step):
        last = last if panel.kind in LISTS and not shown.live else math.inf
    return {
        **{key: value for key, value in asdict(panel).items() if key != "queries"},
        "series": [{"name": name, "points": found} for name, found in series],
        "values": [{"name": name, "value": found[-1][1]} for name, found in series if found[-1][0] >= last],
    }


def named(legend: str, labels: Mapping[str, str]) -> str:
    """The name of a series."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), legend)


def points(values: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    """Points of a series. What is not a number, as after a division by zero, is left out."""
    read = ((float(at), float(value)) for at, value in values)
    return [(at, value) for at, value in read if math.isfinite(value)]
