"""Asks a Prometheus every query of every panel, and says which are answered with data."""

from __future__ import annotations

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.reading import PanelQuery, filled, queries

POINTS = 200
"""How many moments of the run a query over time is asked for, at most."""


@dataclass(frozen=True)
class Moment:
    """A part of a run, in seconds since 1970, and how often it was scraped."""

    began: float
    ended: float
    scrape_seconds: int

    @property
    def step(self) -> int:
        """Seconds between two points."""
        return max(self.scrape_seconds, math.ceil((self.ended - self.began) / POINTS))

    @property
    def rate_interval(self) -> str:
        """What Grafana puts in the place of $__rate_interval."""
        return f"{max(self.step + self.scrape_seconds, 4 * self.scrape_seconds)}s"


@dataclass(frozen=True)
class Answer:
    """How many series with a number answer a query."""

    dashboard: str
    query: PanelQuery
    series: int


def answers(
    prometheus: str, dashboard: Mapping[str, Any], choices: Sequence[Mapping[str, str]], moment: Moment
) -> list[Answer]:
    """An answer for each query: that of the choice of variables which gives the most series.

    One job can't have everything: a CPU has no profile, and a job that goes well has no failures.
    """
    return [
        Answer(
            dashboard["uid"],
            query,
            max(_count(prometheus, query, {**choice}, moment) for choice in choices),
        )
        for query in queries(dashboard)
    ]


def table(found: Iterable[Answer]) -> str:
    """The answers for people: one line for each query."""
    lines = [f"{'dashboard':<15} {'panel':<46} {'query':<11} {'series':>6}"]
    for answer in found:
        name, ref = answer.query.panel, answer.query.ref
        lines.append(f"{answer.dashboard:<15} {name:<46} {ref:<11} {answer.series or 'NONE':>6}")
    return "\n".join(lines)


def _count(prometheus: str, query: PanelQuery, choice: dict[str, str], moment: Moment) -> int:
    values = choice | {"__rate_interval": moment.rate_interval}
    asked = {"query": filled(query.expression, values)}
    if query.instant:
        asked["time"] = str(moment.ended)
    else:
        asked |= {"start": str(moment.began), "end": str(moment.ended), "step": str(moment.step)}
    path = "query" if query.instant else "query_range"
    body = urllib.parse.urlencode(asked).encode()
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}", body, timeout=60) as answer:
        result = json.load(answer)["data"]["result"]
    return sum(any(not math.isnan(value) for value in _values(series)) for series in result)


def _values(series: Mapping[str, Any]) -> list[float]:
    return [float(value) for _, value in series.get("values") or [series["value"]]]
