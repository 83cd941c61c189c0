"""The panels that the page draws, as they stand in a Grafana dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINDS = frozenset({"bargauge", "gauge", "stat", "table", "timeseries"})
"""Types of panels that the page can draw; of tables those of one query, as a list."""

LISTS = frozenset({"bargauge", "table"})
"""Types that show a line for each series."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a panel asks Prometheus."""

    expression: str
    """PromQL with Grafana's variables."""
    legend: str
    """Name of each series of the answer, with `{{label}}` where the value of a label goes."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    description: str
    kind: str
    unit: str
    """Grafana's id of a unit, such as `s` or `percentunit`."""
    decimals: int | None
    low: float | None
    """Where the scale begins; None leaves it to the values."""
    high: float | None
    stacked: bool
    named: bool
    """It shows the name of a series in place of its value."""
    spark: bool
    """A value has its history behind it."""
    empty: str
    """Shown where there is no value."""
    words: Mapping[str, tuple[str, str]]
    """What stands for a value, with its colour."""
    colors: Mapping[str, str]
    """Colours of series by name; the others get one of the page's own."""
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Section:
    """Panels below a heading; those above the dashboard's first row have none."""

    title: str
    panels: tuple[Panel, ...]


def sections(dashboard: Mapping[str, Any]) -> list[Section]:
    """The dashboard's panels that the page can draw, in the order of the dashboard."""
    found: list[tuple[str, list[Panel]]] = [("", [])]
    for raw in dashboard["panels"]:
        if raw["type"] == "row":
            found.append((raw["title"], [_panel(one) for one in raw.get("panels", ()) if _drawable(one)]))
        elif _drawable(raw):
            found[-1][1].append(_panel(raw))
    return [Section(title, tuple(panels)) for title, panels in found if panels]


def _drawable(raw: Mapping[str, Any]) -> bool:
    return raw["type"] in KINDS and (raw["type"] != "table" or len(raw["targets"]) == 1)


def _panel(raw: Mapping[str, Any]) -> Panel:
    field, options = raw["fieldConfig"]["defaults"], raw.get("options", {})
    stacking = field.get("custom", {}).get("stacking", {}).get("mode", "none")
    return Panel(
        title=raw["title"],
        description=raw.get("description", ""),
        kind=raw["type"],
        unit=field.get("unit", "short"),
        decimals=field.get("decimals"),
        low=field.get("min"),
        high=field.get("max"),
        stacked=stacking != "none",
        named=options.get("textMode") == "name",
        spark=options.get("graphMode") == "area",
        empty=field.get("noValue", "-"),
        words=_words(raw),
        colors=_colors(raw),
        queries=tuple(
            Query(expression=target["expr"], legend=target.get("legendFormat") or _columns(raw))
            for target in raw["targets"]
        ),
    )


def _columns(raw: Mapping[str, Any]) -> str:
    """The labels that a table shows as columns, as the name of a series."""
    places = (
        change["options"]["indexByName"]
        for change in raw.get("transformations", ())
        if change["id"] == "organize"
    )
    labels = (label for found in places for label in sorted(found, key=found.__getitem__))
    return " · ".join(f"{{{{{label}}}}}" for label in labels if label != "Value")


def _words(raw: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        value: (shown["text"], shown["color"])
        for override in raw["fieldConfig"].get("overrides", ())
        for entry in override["properties"]
        if entry["id"] == "mappings"
        for mapping in entry["value"]
        for value, shown in mapping["options"].items()
    }


def _colors(raw: Mapping[str, Any]) -> dict[str, str]:
    """The fixed colours that a panel gives to series by their names."""
    return {
        override["matcher"]["options"]: entry["value"]["fixedColor"]
        for override in raw["fieldConfig"].get("overrides", ())
        if override["matcher"]["id"] == "byName"
        for entry in override["properties"]
        if entry["id"] == "color" and entry["value"].get("mode") == "fixed"
    }
