"""Freezes the plan of a mix at its destination: what is asked for, what each shard reads, the summary last.

Every file is created only if it is absent, and follows from what is frozen already. So this can be killed,
run again, or run twice at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rephrase_worker import layout, manifests
from rephrase_worker.bookkeeping import read_mix_listing, read_mix_order, read_mix_plan
from rephrase_worker.manifests import Manifest, PromptAccount
from rephrase_worker.mix.dealing import OutputFile, deal, expect
from rephrase_worker.mixes import DatasetRows, MixOrder, MixPlan, MixShardPlan
from rephrase_worker.models.delivery import SIMULATED_MODEL
from rephrase_worker.spec import DEFAULT_SHARE, MIX_FOLDER, Mix, Model, Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.store.parallel import in_parallel

_THREADS = 16


def order_of(recipe: Recipe, mix: Mix, model_revision: str | None) -> MixOrder:
    """The order to mix a recipe's dataset. A prompt without a share in `mix` gets its own, or the default.

    Raises WorkerError(INVALID_RECIPE) when a share names a prompt that the dataset does not have.
    """
    names = [prompt.name for prompt in recipe.prompts]
    if unknown := sorted(set(mix.share) - set(names)):
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"mix.share names {', '.join(unknown)}, and the dataset has the prompts {', '.join(names)}. "
            "Correct the name, or leave the share out.",
        )
    defaults = {prompt.name: prompt.mix_share or DEFAULT_SHARE for prompt in recipe.prompts}
    shares = {name: mix.share.get(name, defaults[name]) for name in sorted(names)}
    simulated = recipe.model.name == SIMULATED_MODEL
    return MixOrder(
        dataset=recipe.output.uri,
        recipe_hash=recipe.hash,
        mix=mix.model_copy(update={"share": shares}),
        tokenizer=None if simulated else Model(name=recipe.model.name, revision=model_revision),
    )


def refuse_foreign(store: Store, order: MixOrder) -> None:
    """Raises WorkerError(OUTPUT_IN_USE) when another mix, or something else, is where this one would be."""
    if not store.exists(layout.MIX_ORDER):
        if there := store.list(MIX_FOLDER):
            raise WorkerError(
                Reason.OUTPUT_IN_USE,
                f"{store.uri} holds {there[0]}, and no {layout.MIX_ORDER} that says what made it. Choose "
                "another output, or remove what lies there.",
            )
        return
    found = read_mix_order(store)
    if found.hash == order.hash:
        return
    one, other = (json.loads(each.model_dump_json(by_alias=True)) for each in (found, order))
    one, other = one | one.pop("mix"), other | other.pop("mix")
    differences = ", ".join(name for name in one if one[name] != other[name])
    raise WorkerError(
        Reason.OUTPUT_IN_USE,
        f"{store.uri} holds another mix, of {found.dataset}: {differences} differ. Choose another output; "
        f"or, if that mix is no longer wanted, remove {MIX_FOLDER}/ and {layout.MIX}/ there.",
    )


def freeze(
    store: Store, order: MixOrder, finished: Sequence[Manifest], missing: Mapping[str, int]
) -> MixPlan:
    """Makes the plan of the mix, or returns the one that is there. The listing has to be there.

    `finished` are the manifests of the dataset's shards, `missing` the samples by prompt of the others.
    Raises WorkerError: OUTPUT_IN_USE, PLAN_MISSING.
    """
    refuse_foreign(store, order)
    store.create(layout.MIX_ORDER, order.to_json().encode())
    refuse_foreign(store, order)  # Another order may have come first.
    if not store.exists(layout.MIX_PLAN):
        _freeze(store, order, finished, missing)
    return read_mix_plan(store)


def _freeze(store: Store, order: MixOrder, finished: Sequence[Manifest], missing: Mapping[str, int]) -> None:
    listing = read_mix_listing(store)
    names = list(order.mix.share)
    accounts = {name: [manifest.prompts[name] for manifest in finished] for name in names}
    texts = {name: sum(account.text - account.empty for account in accounts[name]) for name in names}
    tokens = {
        name: sum(account.output_tokens for account in accounts[name]) if texts[name] else 0 for name in names
    }
    expected = expect(order.mix, tokens, sum(texts.values()), listing)
    files = [
        OutputFile(
            name, layout.sample_file(name, manifest.shard), account.text + account.error, account.bytes
        )
        for name in names
        for manifest in finished
        for account in [manifest.prompts[name]]
    ]

    def write(part: MixShardPlan) -> None:
        store.create(layout.mix_shard_plan(part.shard), part.to_json().encode())

    in_parallel(_THREADS, write, deal(order.mix, expected, files, listing))
    summary = MixPlan(
        order_hash=order.hash,
        shards=expected.shards,
        prompts={name: _rows(accounts[name], missing.get(name, 0)) for name in names},
        documents=listing.documents,
        documents_exact=listing.documents_exact,
        tokens_per_document=listing.tokens_per_document,
        short_outputs=expected.short_outputs,
        short_original=expected.short_original,
    )
    store.create(layout.MIX_PLAN, summary.to_json().encode())


def _rows(accounts: Sequence[PromptAccount], missing: int) -> DatasetRows:
    sums = manifests.add(accounts)
    return DatasetRows(
        text=sums.text, empty=sums.empty, error=sums.error, filtered=sums.filtered, missing=missing
    )


def _file(prompt: str, manifest: Manifest) -> OutputFile:
    account = manifest.prompts[prompt]
    path = layout.sample_file(prompt, manifest.shard)
    return OutputFile(prompt=prompt, path=path, rows=account.text + account.error, bytes=account.bytes)
