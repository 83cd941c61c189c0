"""Writes card and report of a finished dataset, from what lies at the destination.

Finalizing does so, and mixing again when the mix is there. The same files give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.bookkeeping import (
    read_account,
    read_mix_account,
    read_pace,
    read_plan_of,
    read_quality_report,
)
from rephrase_worker.finalizer.card import card
from rephrase_worker.finalizer.examples import examples
from rephrase_worker.finalizer.findings import Findings
from rephrase_worker.finalizer.report import report
from rephrase_worker.intervals import parsed
from rephrase_worker.manifests import Account
from rephrase_worker.spec import Recipe
from rephrase_worker.store import Store
from rephrase_worker.store.location import Location


def describe(store: Store, recipe: Recipe) -> None:
    """Writes README.md and report.html. Raises WorkerError, and FileNotFoundError without an account."""
    plan, account = read_plan_of(store, recipe), read_account(store)
    finished = _finished(account)
    findings = Findings(
        pace=read_pace(store),
        quality=read_quality_report(store),
        examples=examples(store, recipe, finished),
        schema=_schema(store, recipe, finished),
        mix=read_mix_account(store),
    )
    store.replace(layout.REPORT, report(recipe, plan, account, findings).encode())
    store.replace(layout.CARD, card(recipe, plan, account, findings).encode())


def _finished(account: Account) -> list[int]:
    missing = parsed(account.missing_shard_numbers)
    return [shard for shard in range(account.shards) if shard not in missing]


def _schema(store: Store, recipe: Recipe, finished: Sequence[int]) -> pa.Schema | None:
    """The columns of the final files: all prompts and shards have the same."""
    if not finished:
        return None
    return store.examine(layout.sample_file(recipe.prompts[0].name, finished[0]), _schema_of)


def _schema_of(location: Location) -> pa.Schema:
    with location.open(ahead=False) as file:
        return pq.read_schema(file)
