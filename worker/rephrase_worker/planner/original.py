"""The original data of a mix while planning: what is wrong with it is found before GPUs are asked for."""

from __future__ import annotations

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_listing, read_mix_listing
from rephrase_worker.mix.freeze import order_of
from rephrase_worker.mix.sampling import sampled
from rephrase_worker.mix.tokens import TokenCounter, counter_of
from rephrase_worker.mixes import MixListing
from rephrase_worker.plan import SourceListing
from rephrase_worker.planner.listing import list_files
from rephrase_worker.spec import MIX_FOLDER, Mix, Reason, Recipe, WorkerError
from rephrase_worker.store import Store


def find_original(recipe: Recipe, store: Store, listing: SourceListing | None) -> MixListing | None:
    """The listing of the original data to freeze; None if there is none to freeze. Writes nothing.

    `listing` is that of the job's own source while it is not frozen yet. Raises WorkerError: those of
    `list_original`, OUTPUT_IN_USE when another mix is at the destination, INVALID_RECIPE.
    """
    if recipe.mix is None:
        return None
    if not store.exists(layout.MIX_SOURCE):
        model_revision = (listing or read_listing(store)).model_revision
        order = order_of(recipe, recipe.mix, model_revision)
        return list_original(recipe.mix, counter_of(order.tokenizer))
    frozen = read_mix_listing(store).source
    if frozen != recipe.mix.source:
        raise WorkerError(
            Reason.OUTPUT_IN_USE,
            f"{store.uri} is mixed with {frozen.uri} already, and mix.source is another source. Restore "
            f"mix.source; or, if that mix is no longer wanted, remove {MIX_FOLDER}/ and {layout.MIX}/ there.",
        )
    return None


def list_original(mix: Mix, counter: TokenCounter) -> MixListing:
    """The original data's files, pinned, with their size in tokens.

    Raises WorkerError as the job's own source does, and says that it is about the mix.
    """
    try:
        return sampled(list_files(mix.source), mix, counter)
    except WorkerError as error:
        raise WorkerError(
            error.failure.reason,
            f"The original data of the mix (mix.source): {error.failure.message}",
            exit_code=error.exit_code,
        ) from error
