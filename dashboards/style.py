"""Kinds of panels in the style of these dashboards: one look, one data source, a description on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphGradientMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.variables import SOURCE

GREEN, ORANGE, RED, BLUE, PURPLE, GREY = "green", "orange", "red", "blue", "purple", "#8e8e8e"

HEIGHT = 8
"""Rows of the grid that a panel with an axis takes."""


def query(expression: str, legend: str = "", *, ref: str = "A", instant: bool = False) -> Dataquery:
    """A query over the time range, or `instant`: at its end."""
    made = Dataquery().expr(expression).legend_format(legend).ref_id(ref).datasource(SOURCE)
    return made.instant() if instant else made.range()


def columns(expression: str, ref: str) -> Dataquery:
    """A query whose labels and value become columns of a table."""
    return query(expression, ref=ref, instant=True).format(PromQueryFormat.TABLE)


def thresholds(first: str, *steps: tuple[float, str]) -> ThresholdsConfig:
    """Colours by value: `first` below all steps."""
    made = [Threshold(value=None, color=first), *(Threshold(value=at, color=color) for at, color in steps)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def mapped(texts: Mapping[str, tuple[str, str]]) -> ValueMap:
    """Texts and colours that stand for values."""
    results = {
        value: ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return ValueMap(options=results)


def prop(name: str, value: object) -> DynamicConfigValue:
    """A property of an override."""
    return DynamicConfigValue(id_val=name, value=value)


def fixed(color: str) -> DynamicConfigValue:
    """A colour that a series always has."""
    return prop("color", {"mode": "fixed", "fixedColor": color})


def shades(color: str) -> FieldColor:
    """Shades of one colour, for parts that mean the same."""
    return FieldColor().mode(FieldColorModeId.SHADES).fixed_color(color)


def dashed(color: str = GREY) -> list[DynamicConfigValue]:
    """The look of what is promised, estimated or allowed, beside what is measured."""
    return [
        fixed(color),
        prop("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        prop("custom.fillOpacity", 0),
        prop("custom.stacking", {"mode": "none", "group": "A"}),
    ]


def lines(title: str, description: str, *queries: Dataquery, unit: str, width: int = 8) -> timeseries.Panel:
    """Lines over time, from zero, with a legend below."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(HEIGHT)
        .span(width)
        .line_width(2)
        .fill_opacity(0)
        .gradient_mode(GraphGradientMode.NONE)
        .show_points(VisibilityMode.NEVER)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    for each in queries:
        panel = panel.with_target(each)
    return panel


def stacked(title: str, description: str, *queries: Dataquery, unit: str, width: int = 8) -> timeseries.Panel:
    """Parts of a whole over time."""
    return (
        lines(title, description, *queries, unit=unit, width=width)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        .line_width(1)
        .fill_opacity(35)
    )


def number(
    title: str, description: str, *queries: Dataquery, unit: str, width: int, spark: bool = False
) -> stat.Panel:
    """One number, `spark`: with its course in the background."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(width)
        .graph_mode(BigValueGraphMode.AREA if spark else BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .text_mode(BigValueTextMode.AUTO)
        .reduce_options(_last())
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds(BLUE))
    )
    for each in queries:
        panel = panel.with_target(each)
    return panel


def ranking(
    title: str,
    description: str,
    expression: str,
    names: Mapping[str, str],
    value: str,
    *,
    color: str,
    width: int,
) -> table.Panel:
    """The few that matter by name, with a bar each.

    `names` are the labels that name them, with the titles of their columns; `value` is that of the values'.
    """
    bar = prop("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"})
    panel = listing(title, description, [columns(expression, "A")], width=width, height=HEIGHT)
    return panel.transformations(arranged({**names, "Value": value}, hidden=("Time",))).override_by_name(
        value, [bar, prop("min", 0), fixed(color)]
    )


def listing(
    title: str, description: str, queries: Sequence[Dataquery], *, width: int, height: int
) -> table.Panel:
    """A table of instant queries."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(height)
        .span(width)
        .show_header(True)
    )
    for each in queries:
        panel = panel.with_target(each)
    return panel


def arranged(
    titles: Mapping[str, str], *, hidden: Sequence[str] = (), merged: bool = False
) -> list[DataTransformerConfig]:
    """Columns in the order of `titles`, which are by label; `merged`: the rows of several queries joined."""
    organized = DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: index for index, name in enumerate(titles)},
            "renameByName": dict(titles),
        },
    )
    return [*([DataTransformerConfig(id_val="merge", options={})] if merged else []), organized]


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
