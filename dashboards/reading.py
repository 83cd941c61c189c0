"""Reads finished dashboards: what their panels ask, with values in place of the variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VARIABLE = re.compile(r"\$(?:\{(\w+)(?:[:.][^}]*)?\}|(\w+))")
"""How Grafana writes a variable: $name, ${name} or ${name:format}."""


@dataclass(frozen=True, kw_only=True)
class PanelQuery:
    """One query of one panel."""

    panel: str
    """Title of the panel."""
    ref: str
    expression: str
    """PromQL with variables."""
    instant: bool
    """Asked at the end of the time range alone."""


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those inside collapsed rows included; the rows themselves are left out."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


def queries(dashboard: Mapping[str, Any]) -> list[PanelQuery]:
    """What the panels ask Prometheus."""
    return [
        PanelQuery(
            panel=panel["title"],
            ref=target["refId"],
            expression=target["expr"],
            instant=target.get("instant", False),
        )
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def names(text: str) -> set[str]:
    """The variables that a text uses."""
    return {braced or plain for braced, plain in VARIABLE.findall(text)}


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with values in place of its variables. Raises KeyError for one without a value."""
    return VARIABLE.sub(lambda match: values[match[1] or match[2]], text)
