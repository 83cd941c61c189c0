"""Finalizing: proves that every planned sample is accounted for, and describes the dataset.

Everything that it writes is computed from recipe, plan and manifests, without times or random numbers, and
replaces older files atomically. So running it again gives the same bytes, and running it after failed shards
have been finished brings card and report up to date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from rephrase_worker import layout, manifests
from rephrase_worker.bookkeeping import read_manifest, read_plan_of, read_shard
from rephrase_worker.clock import Clock, MonotonicClock
from rephrase_worker.finalizer.describe import describe
from rephrase_worker.finalizer.quality import add_up_quality
from rephrase_worker.intervals import intervals, shortened
from rephrase_worker.manifests import Account, Manifest, PromptTotals
from rephrase_worker.mix.freeze import freeze, order_of
from rephrase_worker.pace import Pace, PaceSums
from rephrase_worker.plan import Plan
from rephrase_worker.spec import FinalReport, Reason, Recipe, WorkerError
from rephrase_worker.store import Patience, Store
from rephrase_worker.store.parallel import in_order, in_parallel
from rephrase_worker.timeline import Timeline

_THREADS = 16
_REPORTED_CHARACTERS = 500
"""Of the missing shards' intervals in the report, which has to fit into a termination message."""


def finalize(recipe: Recipe, *, clock: Clock | None = None) -> FinalReport:
    """Writes account, quality, card and report, and removes the segments of finished shards.

    `clock` is that of the patience with a destination that fails.
    Shards without a manifest are no error: their samples are counted as missing. Raises WorkerError:
    PLAN_MISSING when the job was not planned, ACCOUNT_MISMATCH when the figures contradict each other.
    """
    store = Store(recipe.output.uri, patience=Patience(clock or MonotonicClock()))
    plan = read_plan_of(store, recipe)
    finished, pace = _read_manifests(store, plan)
    unfinished_files = _check_files(store, recipe, plan, finished)
    account = add_up(recipe, plan, finished, _planned_documents(store, plan, finished), unfinished_files)
    quality = add_up_quality(store, recipe, finished)
    store.replace(layout.ACCOUNT, account.to_json().encode())
    if pace is not None:
        store.replace(layout.PACE, pace.to_json().encode())
    store.replace(layout.QUALITY, quality.report.to_json().encode())
    describe(store, recipe)
    _clean_up(store, recipe, plan, finished)
    shards = 0 if recipe.mix is None or account.missing_shards else _plan_mix(store, recipe, plan, finished)
    return report_of(account).model_copy(update={"mix_shards": shards, "quality": quality.summaries})


def _plan_mix(store: Store, recipe: Recipe, plan: Plan, finished: Sequence[Manifest]) -> int:
    """Freeze the plan of the mix, now that the outputs are known; the number of its shards."""
    assert recipe.mix is not None
    return freeze(store, order_of(recipe, recipe.mix, plan.model_revision), finished, missing={}).shards


def report_of(account: Account) -> FinalReport:
    """The account as the operator gets it."""
    totals = manifests.add(account.prompts.values())
    return FinalReport(
        documents=account.documents,
        samples_text=totals.text,
        samples_empty=totals.empty,
        samples_error=totals.error,
        samples_filtered=totals.filtered,
        samples_missing=sum(prompt.missing for prompt in account.prompts.values()),
        missing_shards=account.missing_shards,
        missing_shard_numbers=shortened(account.missing_shard_numbers, _REPORTED_CHARACTERS),
        prompt_tokens=totals.prompt_tokens,
        output_tokens=totals.output_tokens,
        filtered_output_tokens=totals.filtered_output_tokens,
    )


def add_up(
    recipe: Recipe,
    plan: Plan,
    finished: Sequence[Manifest],
    missing_documents: int,
    unfinished_files: Mapping[str, Sequence[int]],
) -> Account:
    """The job's account: planned = text + error + filtered + missing, for every prompt. Pure.

    `missing_documents` are those that the plan gives the shards without a manifest, `unfinished_files` the
    shards without a manifest that have a final file, by prompt. Raises WorkerError(ACCOUNT_MISMATCH) when
    the manifests contradict themselves, each other or the plan.
    """
    done = {manifest.shard for manifest in finished}
    missing_shards = [shard for shard in range(plan.shards) if shard not in done]
    for manifest in finished:
        _check_manifest(recipe, plan, manifest)
    found = sum(manifest.documents for manifest in finished)
    if plan.documents_exact:
        # The sum is exact even if the figures of single shards are estimates: a file whose lines were counted
        # is still cut by bytes.
        missing_documents = plan.documents - found
        if missing_documents < 0 or (missing_documents > 0 and not missing_shards):
            raise _mismatch(f"the plan has {plan.documents} documents, the manifests have {found}")
    rollouts = recipe.sampling.rollouts
    totals = {}
    for prompt in recipe.prompts:
        sums = manifests.add(manifest.prompts[prompt.name] for manifest in finished)
        totals[prompt.name] = PromptTotals(
            **sums.model_dump(),
            planned=(found + missing_documents) * rollouts,
            missing=missing_documents * rollouts,
        )
    return Account(
        recipe_hash=recipe.hash,
        shards=plan.shards,
        missing_shards=len(missing_shards),
        missing_shard_numbers=intervals(missing_shards),
        documents=found + missing_documents,
        documents_exact=plan.documents_exact or not missing_shards,
        unfinished_files=sum(map(len, unfinished_files.values())),
        unfinished_file_numbers={
            name: intervals(shards) for name, shards in unfinished_files.items() if shards
        },
        prompts=totals,
    )


def _check_manifest(recipe: Recipe, plan: Plan, manifest: Manifest) -> None:
    where = f"the manifest of shard {manifest.shard}"
    if manifest.shard >= plan.shards or manifest.recipe_hash != recipe.hash:
        raise _mismatch(f"{where} is of another plan")
    if set(manifest.prompts) != {prompt.name for prompt in recipe.prompts}:
        raise _mismatch(f"{where} has other prompts than the recipe")
    wanted = manifest.documents * recipe.sampling.rollouts
    drops = {prompt.name: prompt.drops for prompt in recipe.prompts}
    for name, account in manifest.prompts.items():
        samples = account.text + account.error + account.filtered
        if samples != wanted or sum(account.errors.values()) != account.error:
            raise _mismatch(
                f"{where} has {account.text} texts, {account.error} errors and {account.filtered} outputs "
                f"left out for prompt {name}, and {manifest.documents} documents with "
                f"{recipe.sampling.rollouts} rollouts each"
            )
        if account.filtered and not drops[name]:
            raise _mismatch(f"{where} leaves outputs of prompt {name} out, which keeps all of them")


def _mismatch(problem: str) -> WorkerError:
    return WorkerError(
        Reason.ACCOUNT_MISMATCH,
        f"The account does not add up: {problem}. The dataset was changed by something else, or this is a "
        "defect; nothing was removed.",
    )


def _read_manifests(store: Store, plan: Plan) -> tuple[list[Manifest], Pace | None]:
    """The manifests that exist, by shard, and the sum of their timelines, which are not kept in memory."""
    paths = [path for path in store.list(layout.MANIFESTS) if path.endswith(".json")]
    read, sums = [], PaceSums()
    for manifest in in_order(_THREADS, partial(read_manifest, store), paths):
        sums.add(manifest.timeline)
        read.append(manifest.model_copy(update={"timeline": Timeline()}))
    if [layout.manifest(manifest.shard) for manifest in read] != paths or len(read) > plan.shards:
        raise _mismatch("the manifests' names are not those of the plan's shards")
    return read, sums.pace()


def _planned_documents(store: Store, plan: Plan, finished: Sequence[Manifest]) -> int:
    """Documents that the plan gives to the shards without a manifest."""
    done = {manifest.shard for manifest in finished}
    missing = [shard for shard in range(plan.shards) if shard not in done]
    return sum(shard.documents for shard in in_parallel(_THREADS, partial(read_shard, store), missing))


def _check_files(
    store: Store, recipe: Recipe, plan: Plan, finished: Sequence[Manifest]
) -> dict[str, list[int]]:
    """Makes sure that every file in the account exists. Returns the shards of other final files."""
    done = {manifest.shard for manifest in finished}
    unfinished: dict[str, list[int]] = {}
    for prompt in recipe.prompts:
        there = set(store.list(prompt.name))
        shards = {layout.sample_file(prompt.name, shard): shard for shard in range(plan.shards)}
        if gone := sorted(path for path, shard in shards.items() if shard in done and path not in there):
            raise _mismatch(f"{len(gone)} final files are gone, {gone[0]} for one")
        if foreign := sorted(there - shards.keys()):
            raise _mismatch(f"{foreign[0]} is none of the job's files")
        unfinished[prompt.name] = [shards[path] for path in sorted(there) if shards[path] not in done]
    return unfinished


def _clean_up(store: Store, recipe: Recipe, plan: Plan, finished: Sequence[Manifest]) -> None:
    """Removes the segments of finished shards. Unfinished shards keep theirs for another attempt."""
    store.remove_tree(layout.PROBES)
    if len(finished) == plan.shards:
        store.remove_tree(layout.SEGMENTS)
    else:
        folders = [layout.segments_dir(manifest.shard) for manifest in finished]
        in_parallel(_THREADS, store.remove_tree, folders)
    for folder in (layout.MANIFESTS, layout.SHARD_QUALITY, *(prompt.name for prompt in recipe.prompts)):
        store.remove_temporary(folder)
