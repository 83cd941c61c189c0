"""Planning: lists the source once, pins what can move, claims the destination and freezes the shards.

Every file is created only if it is absent, and then read back. So the planner can be killed at any point, run
again, or run twice at once: all runs end with the same plan.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pydantic import ValidationError

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_listing, read_plan, read_shard, read_statistics
from rephrase_worker.engine.support import check_settings, has_suffix_speculation
from rephrase_worker.plan import SKIPPED_SHOWN, Plan, SourceListing
from rephrase_worker.planner.listing import list_source
from rephrase_worker.planner.model import fill_shared_cache
from rephrase_worker.planner.original import find_original
from rephrase_worker.planner.publishing import check_publishing, claim_repository
from rephrase_worker.planner.sharding import shard, total_documents
from rephrase_worker.planner.statistics import measure
from rephrase_worker.source import names
from rephrase_worker.spec import (
    APART_FROM_SAMPLES,
    CONTRACT_VERSION,
    MIX_FOLDER,
    SKIPPED_CHARACTERS,
    EngineSettings,
    PlanReport,
    Reason,
    Recipe,
    Statistics,
    WorkerError,
)
from rephrase_worker.store import Store

_THREADS = 16


def plan(recipe: Recipe, engine: EngineSettings | None = None) -> PlanReport:
    """Makes the job's plan, or reports the one that is there.

    `engine` is what the workers will run with, as far as it is known: it decides whether there is a model at
    all and how long its context is, and vLLM has to know its settings.

    Raises WorkerError: INVALID_RECIPE for settings that can't work, OUTPUT_IN_USE when the destination
    belongs to another job or recipe, OUTPUT_NOT_WRITABLE, SOURCE_NOT_FOUND, SOURCE_FORMAT,
    TEXT_FIELD_MISSING, MODEL_NOT_FOUND, REPOSITORY_REFUSED.
    """
    if engine is not None:
        check_settings(engine)
    store = Store(recipe.output.uri, planning=True)
    # This comes before reading the claim. The other way round, another planner of this job could make its
    # claim and its files in between, and the files would look like somebody else's.
    leftover = _leftover(store, recipe)
    if _refuse_foreign(store, recipe) is None and leftover is not None:
        raise WorkerError(
            Reason.OUTPUT_IN_USE,
            f"{store.uri} holds {leftover}, and no {layout.RECIPE} that says what made it. Choose another "
            "output.uri, or remove what lies there.",
        )
    if not store.exists(layout.PLAN):
        # Mistakes of the user are found before the destination is claimed. A job that fails because of one
        # leaves nothing behind, so the corrected job can use the same destination.
        listing = None if store.exists(layout.SOURCE_LISTING) else list_source(recipe, engine)
        check_publishing(recipe, store, listing)
        original = find_original(recipe, store, listing)
        store.probe(layout.PROBES)
        claimed = _claim(store, recipe)
        if listing is not None:
            store.create(layout.SOURCE_LISTING, listing.to_json().encode())
        _freeze_shards(store, claimed, read_listing(store))
    else:
        original = find_original(recipe, store, None)
    if original is not None:
        store.create(layout.MIX_SOURCE, original.to_json().encode())
    frozen = read_plan(store)
    statistics = _statistics(store, recipe, engine, frozen.shards)
    claim_repository(recipe, store)
    fill_shared_cache(recipe, engine, frozen.model_revision)
    return PlanReport(
        contract_version=CONTRACT_VERSION,
        weights_bytes=frozen.model_weights_bytes,
        suffix_speculation=has_suffix_speculation(),
        shards=frozen.shards,
        documents=frozen.documents,
        documents_exact=frozen.documents_exact,
        files=frozen.files,
        bytes=frozen.bytes,
        model_revision=frozen.model_revision,
        model_asked=_cut(frozen.model_asked or "") or None,
        source_revision=frozen.source_revision,
        skipped_files=frozen.skipped_files,
        skipped=_cut(names.summary(frozen.skipped, frozen.skipped_files)) or None,
        statistics=statistics,
    )


def _statistics(store: Store, recipe: Recipe, engine: EngineSettings | None, shards: int) -> Statistics:
    """The statistics of the documents at the destination, measured first if they are not there."""
    if not store.exists(layout.STATISTICS):
        with ThreadPoolExecutor(_THREADS) as pool:
            plans = list(pool.map(partial(read_shard, store), range(shards)))
        measured = measure(recipe, engine, read_listing(store), plans)
        store.create(layout.STATISTICS, measured.to_json().encode())
    return read_statistics(store)


def _cut(text: str) -> str:
    return text if len(text) <= SKIPPED_CHARACTERS else text[: SKIPPED_CHARACTERS - 1] + "…"


def _claim(store: Store, recipe: Recipe) -> Recipe:
    """Makes the destination this job's own. Returns the recipe that is frozen there.

    Its parallelism may differ from this one's. Parallelism does not decide what the dataset will be, but
    where shards are cut, and all planners of a job have to cut at the same places.
    """
    store.create(layout.RECIPE, recipe.to_json().encode())
    frozen = _refuse_foreign(store, recipe)
    if frozen is None:
        raise WorkerError(
            Reason.INTERNAL, f"{store.uri}/{layout.RECIPE} was removed while the job was being planned."
        )
    return frozen


def _leftover(store: Store, recipe: Recipe) -> str | None:
    """A file at a place where the job will write, if there is one.

    Final files are created only if absent. So final files of a job whose bookkeeping is gone would become
    part of this job's dataset.
    """
    if store.exists(layout.CARD):
        return layout.CARD
    folders = [prompt.name for prompt in recipe.prompts] + ([MIX_FOLDER] if recipe.mix else [])
    return next((path for folder in folders for path in store.list(folder)), None)


def _refuse_foreign(store: Store, recipe: Recipe) -> Recipe | None:
    """The recipe that is frozen at the destination, if any. Raises WorkerError(OUTPUT_IN_USE)."""
    try:
        content = store.read(layout.RECIPE)
    except FileNotFoundError:
        return None
    try:
        frozen = Recipe.model_validate_json(content)
    except ValidationError as error:
        raise WorkerError(
            Reason.OUTPUT_IN_USE,
            f"{store.uri} belongs to a job of another version of this software ({layout.RECIPE} can't be "
            "read). Choose another output.uri.",
        ) from error
    if frozen.job != recipe.job:
        raise WorkerError(
            Reason.OUTPUT_IN_USE,
            f"{store.uri} belongs to the job {frozen.job.namespace}/{frozen.job.name}. Choose another "
            "output.uri; or, if that job's dataset is no longer wanted, remove the folder.",
        )
    if frozen.hash != recipe.hash:
        raise WorkerError(
            Reason.OUTPUT_IN_USE,
            f"{store.uri} holds what {frozen.job.namespace}/{frozen.job.name} makes from another recipe: "
            f"{_differences(frozen, recipe)} differ. Choose another output.uri, restore the recipe, or "
            "remove the folder.",
        )
    return frozen


def _differences(one: Recipe, other: Recipe) -> str:
    """The names of the recipe's parts that are not the same."""
    first, second = (
        json.loads(recipe.model_dump_json(by_alias=True, exclude=set(APART_FROM_SAMPLES)))
        for recipe in (one, other)
    )
    return ", ".join(name for name in first if first[name] != second[name])


def _freeze_shards(store: Store, recipe: Recipe, listing: SourceListing) -> None:
    """Writes a plan for each shard, and the summary last."""
    shards = shard(listing, recipe)
    documents, exact = total_documents(listing, recipe, shards)
    with ThreadPoolExecutor(_THREADS) as pool:
        for written in [
            pool.submit(store.create, layout.shard_plan(part.shard), part.to_json().encode())
            for part in shards
        ]:
            written.result()
    summary = Plan(
        recipe_hash=recipe.hash,
        shards=len(shards),
        documents=documents,
        documents_exact=exact,
        files=len(listing.files),
        bytes=sum(file.size for file in listing.files),
        skipped_files=listing.skipped_files,
        skipped=listing.skipped[:SKIPPED_SHOWN],
        columns=listing.columns,
        source_revision=listing.revision,
        model_revision=listing.model_revision,
        model_weights_bytes=listing.model_weights_bytes,
        model_asked=listing.model_asked,
    )
    store.create(layout.PLAN, summary.to_json().encode())
