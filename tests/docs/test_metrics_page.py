"""The queries of docs/metrics.md are PromQL, and every metric that a page names exists."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from scripts.reference import metrics
from tests.docs.blocks import promql_problem
from tests.docs.markdown import pages
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


def test_every_metric_that_a_page_names_exists() -> None:
    texts = [(page.name, code) for page in pages() for _, code in page.code]
    texts += [(block.place, block.text) for page in pages() for block in page.blocks]
    named = {
        (place, name)
        for place, text in texts
        for name in re.findall(r"\brephrase_(?:job|worker|operator)_\w*\w", text)
        if not name.endswith("_")  # such as `rephrase_job_...`
    }
    assert len(named) > 50
    assert {(place, name) for place, name in named if name not in names()} == set()
