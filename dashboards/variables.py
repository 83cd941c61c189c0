"""The variables at the head of the dashboards. Each offers only what fits those before it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The Prometheus that the reader has chosen."""

EVERYTHING = ".*"
"""What "All" stands for. Without it Grafana would write the names of all jobs into every query."""


def datasource() -> DatasourceVariable:
    """Which Prometheus answers."""
    return DatasourceVariable("datasource").label("Data source").type("prometheus")


def several(name: str, label: str, query: str) -> QueryVariable:
    """A variable of which several values, or all, can be chosen."""
    everything = VariableOption(selected=True, text="All", value="$__all")
    return _query(name, label, query).multi(True).include_all(True).all_value(EVERYTHING).current(everything)


def one(name: str, label: str, query: str) -> QueryVariable:
    """A variable of which one value is chosen."""
    return _query(name, label, query).multi(False).include_all(False)


def _query(name: str, label: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": name})
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
