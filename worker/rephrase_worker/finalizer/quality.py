"""Adds up the shards' counts to the quality of the whole dataset.

One shard's counts are read at a time (some at once, in threads), so memory holds one sum, however many shards
there are. No text is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_quality
from rephrase_worker.manifests import Manifest
from rephrase_worker.quality import state
from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.quality.report import QualityReport, report
from rephrase_worker.quality.state import ShardQuality
from rephrase_worker.quality.summary import summaries
from rephrase_worker.spec import PromptQuality, Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.store.parallel import in_order

_THREADS = 16


@dataclass(frozen=True)
class Quality:
    """The quality of a dataset."""

    report: QualityReport
    summaries: dict[str, PromptQuality]
    """What the operator is told, by prompt."""


def add_up_quality(store: Store, recipe: Recipe, finished: Sequence[Manifest]) -> Quality:
    """The quality of all finished shards.

    Raises WorkerError(ACCOUNT_MISMATCH) when counts are damaged or are not of their shard's texts.
    """
    total = {prompt.name: PromptCounts() for prompt in recipe.prompts}
    uncounted = 0
    shards = (manifest.shard for manifest in finished)
    for manifest, counted in zip(
        finished, in_order(_THREADS, partial(read_quality, store), shards), strict=True
    ):
        if counted is None:
            uncounted += 1
        else:
            _check(manifest, counted)
            total = state.add(total, counted.prompts)
    counted_shards = len(finished) - uncounted
    return Quality(report(recipe, total, shards=counted_shards, uncounted_shards=uncounted), summaries(total))


def _check(manifest: Manifest, counted: ShardQuality) -> None:
    texts = {name: account.text for name, account in manifest.prompts.items()}
    measured = {name: counts.samples + counts.empty for name, counts in counted.prompts.items()}
    judged = all(
        counted.prompts[name].structure_judged == counted.prompts[name].samples + account.filtered
        for name, account in manifest.prompts.items()
        if account.filtered and name in counted.prompts
    )
    about = (counted.recipe_hash, counted.shard)
    if about != (manifest.recipe_hash, manifest.shard) or texts != measured or not judged:
        raise WorkerError(
            Reason.ACCOUNT_MISMATCH,
            f"{layout.shard_quality(manifest.shard)} is not about the texts of that shard: it counts "
            f"{sum(measured.values())}, and the manifest has {sum(texts.values())}. Something else has "
            "changed one of them; nothing was removed. Remove the quality file to finalize without it.",
        )
