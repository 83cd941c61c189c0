"""Reads what the worker's commands leave for each other under `_rephrase/`: recipe, plan, accounts, quality.

Planner, generate and finalizer read these files only here, so that one place explains a file that is missing,
damaged or of another version.
"""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError

from rephrase_worker import layout
from rephrase_worker.manifests import Account, Manifest
from rephrase_worker.mixes import MixAccount, MixListing, MixManifest, MixOrder, MixPlan, MixShardPlan
from rephrase_worker.pace import Pace
from rephrase_worker.plan import Plan, ShardPlan, SourceListing
from rephrase_worker.quality.report import QualityReport
from rephrase_worker.quality.state import ShardQuality, decode
from rephrase_worker.spec import Contract, ExitCode, Reason, Recipe, Statistics, WorkerError
from rephrase_worker.store import Store

C = TypeVar("C", bound=Contract)


def read_recipe(store: Store) -> Recipe:
    """The frozen recipe. Raises WorkerError(PLAN_MISSING) when there is none."""
    return _read(store, layout.RECIPE, Recipe, "recipe")


def read_plan(store: Store) -> Plan:
    """The plan's summary. Raises WorkerError(PLAN_MISSING) when there is no whole plan."""
    return _read(store, layout.PLAN, Plan, "plan")


def read_plan_of(store: Store, recipe: Recipe) -> Plan:
    """The plan's summary, after making sure that it is this recipe's.

    Raises WorkerError: PLAN_MISSING, or OUTPUT_IN_USE when another recipe was planned here.
    """
    plan = read_plan(store)
    if plan.recipe_hash != recipe.hash:
        raise WorkerError(
            Reason.OUTPUT_IN_USE,
            f"{store.uri} was planned for another recipe ({plan.recipe_hash}, this one is {recipe.hash}). "
            f"Use the recipe that lies there ({layout.RECIPE}), or choose an empty output folder.",
        )
    return plan


def read_shard(store: Store, number: int) -> ShardPlan:
    """The plan of one shard. Raises WorkerError(PLAN_MISSING) when there is none."""
    return _read(store, layout.shard_plan(number), ShardPlan, f"plan of shard {number}")


def read_listing(store: Store) -> SourceListing:
    """The frozen listing of the source. Raises WorkerError(PLAN_MISSING) when there is none."""
    return _read(store, layout.SOURCE_LISTING, SourceListing, "listing of the source")


def read_statistics(store: Store) -> Statistics:
    """What planning measured of the documents. Raises WorkerError(PLAN_MISSING) when it is not there."""
    return _read(store, layout.STATISTICS, Statistics, "statistics of the documents")


def read_manifest(store: Store, path: str) -> Manifest:
    """A shard's manifest. Raises FileNotFoundError, and WorkerError(ACCOUNT_MISMATCH) when it is damaged."""
    return _parse(store, path, store.read(path), Manifest, Reason.ACCOUNT_MISMATCH)


def read_quality(store: Store, shard: int) -> ShardQuality | None:
    """A finished shard's counts, None if a worker of an earlier version has finished it.

    Raises WorkerError(ACCOUNT_MISMATCH) when they are damaged.
    """
    path = layout.shard_quality(shard)
    try:
        content = store.read(path)
    except FileNotFoundError:
        return None
    return _parse(store, path, decode(content), ShardQuality, Reason.ACCOUNT_MISMATCH)


def read_account(store: Store) -> Account:
    """The job's account. Raises FileNotFoundError, and WorkerError(ACCOUNT_MISMATCH) when it is damaged."""
    return _parse(store, layout.ACCOUNT, store.read(layout.ACCOUNT), Account, Reason.ACCOUNT_MISMATCH)


def read_pace(store: Store) -> Pace | None:
    """How fast the dataset was made, if that is known. Raises WorkerError when the file is damaged."""
    return _optional(store, layout.PACE, Pace)


def read_quality_report(store: Store) -> QualityReport | None:
    """What the texts are like, if that is known. Raises WorkerError when the file is damaged."""
    return _optional(store, layout.QUALITY, QualityReport)


def read_mix_account(store: Store) -> MixAccount | None:
    """The account of the mix, if it is finished. Raises WorkerError when the file is damaged."""
    return _optional(store, layout.MIX_ACCOUNT, MixAccount)


def read_mix_order(store: Store) -> MixOrder:
    """What the mix is made from. Raises WorkerError(PLAN_MISSING) when there is no mix."""
    return _read(store, layout.MIX_ORDER, MixOrder, "order of a mix", "finalize")


def read_mix_listing(store: Store) -> MixListing:
    """The frozen listing of the original data. Raises WorkerError(PLAN_MISSING) when there is none."""
    return _read(store, layout.MIX_SOURCE, MixListing, "listing of the original data")


def read_mix_plan(store: Store) -> MixPlan:
    """The summary of the mix's plan. Raises WorkerError(PLAN_MISSING) when there is no whole plan."""
    return _read(store, layout.MIX_PLAN, MixPlan, "plan of the mix", "finalize")


def read_mix_shard(store: Store, number: int) -> MixShardPlan:
    """The plan of one shard of the mix. Raises WorkerError(PLAN_MISSING) when there is none."""
    what = f"plan of shard {number} of the mix"
    return _read(store, layout.mix_shard_plan(number), MixShardPlan, what, "finalize")


def read_mix_manifest(store: Store, path: str) -> MixManifest:
    """The manifest of a shard of the mix. Raises FileNotFoundError, and WorkerError(ACCOUNT_MISMATCH)."""
    return _parse(store, path, store.read(path), MixManifest, Reason.ACCOUNT_MISMATCH)


def _optional(store: Store, path: str, kind: type[C]) -> C | None:
    try:
        content = store.read(path)
    except FileNotFoundError:
        return None
    return _parse(store, path, content, kind, Reason.ACCOUNT_MISMATCH)


def _read(store: Store, path: str, kind: type[C], what: str, made_by: str = "plan") -> C:
    try:
        content = store.read(path)
    except FileNotFoundError as error:
        raise WorkerError(
            Reason.PLAN_MISSING,
            f"There is no {what}: {store.uri}/{path} is not there. Run `rephrase-worker {made_by}` with the "
            "same recipe first; shards are counted from 0.",
        ) from error
    return _parse(store, path, content, kind, Reason.PLAN_MISSING)


def _parse(store: Store, path: str, content: bytes, kind: type[C], reason: Reason) -> C:
    where = f"{store.uri}/{path}"
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(
            where, f"its {len(content)} bytes are not JSON, as after an interrupted copy", reason
        ) from error
    known = kind.model_fields["schema_version"].default
    version = document.get("schemaVersion", known) if isinstance(document, dict) else known
    if version != known:
        # All nodes run the same image, so another attempt would end the same way.
        raise WorkerError(
            reason,
            f"{where} was written by another version of this software: its schema is version "
            f"{version!r:.40}, and this worker reads version {known}. Use the worker image that the "
            "job was planned with, or plan again into an empty output folder.",
            exit_code=ExitCode.CONFIG,
        )
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"])) or "the document"
        raise _damaged(where, f"{field}: {fault['msg']}", reason) from error


def _damaged(where: str, what: str, reason: Reason) -> WorkerError:
    return WorkerError(
        reason,
        f"{where} is damaged ({what}). This software creates such a file whole and never changes it, so "
        "something else did. Restore the file, or remove the output folder and start the job again.",
    )
