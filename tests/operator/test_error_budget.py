"""The error budget: when do errors stop a job, and what lets it go on?"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rephrase_operator.api.policies import FailurePolicy
from rephrase_operator.api.status import Progress
from rephrase_operator.reconcile.error_budget import judge


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    errors: int
    texts: int = 100
    documents: int = 1000
    limit: float = 0.05
    known: float | None = None
    reached: float | None


ROWS = [
    Row(name="no samples yet", errors=0, texts=0, documents=0, reached=None),
    Row(name="few errors", errors=5, texts=95, reached=None),
    Row(name="exactly the limit is within it", errors=5, texts=95, limit=0.05, reached=None),
    Row(name="one more", errors=6, texts=94, reached=0.06),
    Row(name="too few documents to judge by", errors=50, texts=50, documents=999, reached=None),
    Row(name="a limit of 1 turns it off", errors=100, texts=0, limit=1.0, reached=None),
    Row(name="a limit of 0 takes none", errors=1, texts=99_999, limit=0.0, reached=0.00001),
    Row(name="more texts do not lift it", errors=6, texts=994, known=0.06, reached=0.06),
    Row(name="more errors raise it", errors=8, texts=92, known=0.06, reached=0.08),
    Row(
        name="a limit below what was reached is too low",
        errors=6,
        texts=94,
        limit=0.059,
        known=0.06,
        reached=0.06,
    ),
    Row(
        name="a limit at what was reached lets it go on",
        errors=6,
        texts=94,
        limit=0.06,
        known=0.06,
        reached=None,
    ),
    Row(name="a higher limit lets it go on", errors=6, texts=94, limit=0.2, known=0.06, reached=None),
    Row(
        name="and holds for the errors that follow",
        errors=30,
        texts=70,
        limit=0.2,
        known=None,
        reached=0.3,
    ),
    Row(
        name="stopped it stays, also with a higher number of documents to judge by",
        errors=6,
        texts=94,
        documents=10,
        known=0.06,
        reached=0.06,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_budget(row: Row) -> None:
    progress = Progress(samples_text=row.texts, samples_error=row.errors, documents=row.documents)
    budget = judge(FailurePolicy(max_error_ratio=row.limit), row.known, progress)
    assert (budget.reached, budget.exceeded) == (row.reached, row.reached is not None)
    assert budget.reason == ("TooManyErrors" if budget.exceeded else "FewErrors")
