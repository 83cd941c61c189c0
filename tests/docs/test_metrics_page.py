"""The queries of docs/metrics.md are PromQL, and ask for metrics that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from scripts.reference import metrics
from tests.docs.blocks import promql_problem
from tests.requirements import ROOT


def names() -> set[str]:
    """Every series of the reference."""
    entries = [*metrics.of_workers(), *metrics.of_jobs(), *metrics.of_the_operator()]
    buckets = {f"{entry.name}_bucket" for entry in entries if entry.kind == "histogram"}
    return buckets | {entry.name for entry in entries}


def queries() -> Iterator[str]:
    """The last column of the table of questions."""
    table = (ROOT / "docs/metrics.md").read_text().partition("| question | query |")[2]
    for row in table.splitlines()[2:]:
        yield re.split(r"(?<!\\)\|", row)[2].strip(" `").replace("\\|", "|")


def test_the_queries_are_promql() -> None:
    found = list(queries())
    assert len(found) > 10
    assert promql_problem(found) == ""


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_asks_for_what_exists(query: str) -> None:
    asked = re.findall(r"rephrase_\w+", query)
    assert asked
    assert set(asked) <= names()
