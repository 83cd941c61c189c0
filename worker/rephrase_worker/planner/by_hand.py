"""A mix that somebody makes by hand of a finished dataset, into any place: planned in one go."""

from __future__ import annotations

from functools import partial

from rephrase_worker import layout
from rephrase_worker.bookkeeping import (
    read_account,
    read_manifest,
    read_mix_plan,
    read_plan,
    read_recipe,
)
from rephrase_worker.mix.freeze import freeze, order_of, refuse_foreign
from rephrase_worker.mix.tokens import counter_of
from rephrase_worker.mixes import MixPlan
from rephrase_worker.planner.original import list_original
from rephrase_worker.spec import MIX_FOLDER, Mix, Model, Output, Reason, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.store.parallel import in_parallel

_THREADS = 16


def plan_mix(dataset: Store, target: Store, mix: Mix, tokenizer: Model | None) -> MixPlan:
    """Plan to mix the dataset into the target, or find that plan there.

    `tokenizer` counts instead of that of the dataset's model. Raises WorkerError: PLAN_MISSING when there is
    no finished dataset, OUTPUT_IN_USE when the target holds another mix, and what is wrong with `mix.source`.
    """
    try:
        account = read_account(dataset)
    except FileNotFoundError as error:
        raise WorkerError(
            Reason.PLAN_MISSING,
            f"There is no finished dataset at {dataset.uri}: {layout.ACCOUNT} is not there. Give the output "
            "of a job that was finalized.",
        ) from error
    recipe = read_recipe(dataset).model_copy(update={"output": Output(uri=dataset.uri)})
    order = order_of(recipe, mix, read_plan(dataset).model_revision)
    if tokenizer is not None:
        order = order.model_copy(update={"tokenizer": tokenizer})
    if target.uri == dataset.uri and MIX_FOLDER in account.prompts:
        raise WorkerError(
            Reason.OUTPUT_IN_USE,
            f"{dataset.uri} has a prompt named {MIX_FOLDER}, whose folder the mix would use. Give --output.",
        )
    refuse_foreign(target, order)
    if not target.exists(layout.MIX_SOURCE):
        # Before anything is written: a mistake leaves nothing behind.
        listing = list_original(order.mix, counter_of(order.tokenizer))
        target.probe(layout.PROBES)
        target.remove_tree(layout.PROBES)
        target.create(layout.MIX_SOURCE, listing.to_json().encode())
    paths = [path for path in dataset.list(layout.MANIFESTS) if path.endswith(".json")]
    finished = in_parallel(_THREADS, partial(read_manifest, dataset), paths)
    missing = {name: totals.missing for name, totals in account.prompts.items()}
    plan = freeze(target, order, finished, missing)
    if not plan.shards:
        raise WorkerError(
            Reason.PLAN_MISSING, f"No prompt of {dataset.uri} has any text: there is nothing to mix."
        )
    return plan


def begun_mix(target: Store) -> MixPlan:
    """The plan of a mix that was begun there, by a job or by hand. Raises WorkerError(PLAN_MISSING)."""
    if not target.exists(layout.MIX_PLAN):
        raise WorkerError(
            Reason.PLAN_MISSING,
            f"No mix was begun at {target.uri}: {layout.MIX_PLAN} is not there. Say what to mix with.",
        )
    return read_mix_plan(target)
