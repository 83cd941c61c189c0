"""The repository to publish to while planning: tried and claimed before a GPU is paid for."""

from __future__ import annotations

from rephrase_worker import layout
from rephrase_worker.clock import MonotonicClock
from rephrase_worker.hub import PATIENCE_SECONDS
from rephrase_worker.plan import SourceListing
from rephrase_worker.planner.sharding import shard
from rephrase_worker.publisher import Repository
from rephrase_worker.spec import Publish, Reason, Recipe, WorkerError
from rephrase_worker.store import Store

MOST_SHARDS = 9_500
"""The Hub takes fewer than 10,000 files a folder, and a prompt's folder has one file a shard."""


def check_publishing(recipe: Recipe, store: Store, listing: SourceListing | None) -> None:
    """Refuse a repository that can't take the dataset. Writes nothing.

    `listing` is that of a source that is not planned yet. Raises WorkerError: REPOSITORY_REFUSED.
    """
    if recipe.publish is None:
        return
    try:
        claimed = store.read(layout.RECIPE)
    except FileNotFoundError:
        claimed = None
    _repository(recipe.publish).check(claimed)
    if recipe.mix is not None and (recipe.mix.shards or 0) > MOST_SHARDS:
        raise WorkerError(
            Reason.REPOSITORY_REFUSED,
            f"The mix would have {recipe.mix.shards} files, and the Hub takes fewer than 10,000 a folder. "
            f"Set mix.shards to {MOST_SHARDS} or fewer, leave it out, or publish nothing.",
        )
    if listing is not None and (shards := len(shard(listing, recipe))) > MOST_SHARDS:
        documents = sum(file.documents for file in listing.files)
        raise WorkerError(
            Reason.REPOSITORY_REFUSED,
            f"The job would have {shards} shards, and the Hub takes fewer than 10,000 files a folder. Set "
            f"sharding.documentsPerShard to {-(-documents // MOST_SHARDS) + 1} or more, or publish nothing.",
        )


def claim_repository(recipe: Recipe, store: Store) -> None:
    """Create the repository and make it the dataset's own. Raises WorkerError: REPOSITORY_REFUSED."""
    if recipe.publish is not None:
        _repository(recipe.publish).claim(store.read(layout.RECIPE))


def _repository(publish: Publish) -> Repository:
    return Repository(publish, MonotonicClock(), patience=PATIENCE_SECONDS)
