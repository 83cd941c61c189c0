"""Adds up the shards of a mix, once all of them are there.

Whoever finishes a shard looks for the others. The one whose manifest came last finds all of them, however
many run at once, and writes the account. It follows from the manifests, so it does not matter if two do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_mix_manifest
from rephrase_worker.mixes import (
    MixAccount,
    MixedOutputs,
    MixManifest,
    MixOrder,
    MixPlan,
    OriginalMix,
    PromptMix,
    add_originals,
    add_outputs,
    original_needed,
    share_of,
)
from rephrase_worker.spec import MIX_FOLDER, Mix, MixReport, Reason, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.store.parallel import in_parallel

_THREADS = 16


def conclude(store: Store, order: MixOrder, plan: MixPlan) -> MixAccount | None:
    """Write the account of the mix; None while shards are missing.

    Raises WorkerError: ACCOUNT_MISMATCH when the figures contradict each other, DATASET_INCOMPLETE when the
    mix is empty.
    """
    wanted = [layout.mix_manifest(shard) for shard in range(plan.shards)]
    there = [path for path in store.list(layout.MIX_MANIFESTS) if path.endswith(".json")]
    if set(wanted) - set(there):
        return None
    account = add_up(order, plan, in_parallel(_THREADS, partial(read_mix_manifest, store), wanted))
    if not account.rows:
        raise WorkerError(
            Reason.DATASET_INCOMPLETE,
            "Nothing is in the mix: no output, or no original document, is as short as the shares of so "
            f"little text would need. {account.short} Give a larger mix.source, or raise mix.maxRepetitions.",
        )
    files = {layout.mix_file(shard) for shard in range(plan.shards)}
    found = set(store.list(MIX_FOLDER))
    if found != files:
        strange = min(found ^ files)
        raise _mismatch(f"{strange} is {'none of the files of the mix' if strange in found else 'gone'}")
    store.replace(layout.MIX_ACCOUNT, account.to_json().encode())
    store.remove_temporary(MIX_FOLDER)
    store.remove_temporary(layout.MIX_MANIFESTS)
    return account


def add_up(order: MixOrder, plan: MixPlan, shards: Sequence[MixManifest]) -> MixAccount:
    """The account of the whole mix. Pure. For every prompt planned = used + error + empty + unused + missing.

    Raises WorkerError(ACCOUNT_MISMATCH).
    """
    for manifest in shards:
        if manifest.order_hash != order.hash:
            raise _mismatch(f"the manifest of shard {manifest.shard} is of another mix")
    mix = order.mix
    outputs = {name: add_outputs(shard.prompts[name] for shard in shards) for name in mix.share}
    original = add_originals(shard.original for shard in shards)
    needed = original_needed({name: part.tokens for name, part in outputs.items()}, mix.share)
    prompts = {
        name: _prompt(name, part, plan, mix, original.tokens / needed if needed else 0.0)
        for name, part in outputs.items()
    }
    synthetic = sum(part.tokens for part in outputs.values())
    unused = plan.documents - original.used - original.unusable
    if plan.documents_exact and unused < original.unused:
        raise _mismatch(f"more original documents were read than the {plan.documents} that were planned")
    return MixAccount(
        order_hash=order.hash,
        seed=mix.seed,
        shards=plan.shards,
        bytes=sum(shard.bytes for shard in shards),
        rows=original.rows + sum(part.rows for part in outputs.values()),
        tokens=original.tokens + synthetic,
        share_asked=share_of(synthetic, needed),
        share_reached=share_of(synthetic, original.tokens),
        most_repetitions=max((shard.most_repetitions for shard in shards), default=0),
        short=_short(mix, plan, shards),
        prompts=prompts,
        original=OriginalMix(
            **original.model_dump(exclude={"unused"}),
            unused=max(unused, original.unused),
            documents=plan.documents,
            documents_exact=plan.documents_exact,
        ),
    )


def report_of(shard: int, account: MixAccount | None) -> MixReport:
    """What a pod reports after its shard."""
    if account is None:
        return MixReport(shard=shard)
    return MixReport(
        shard=shard,
        complete=True,
        rows=account.rows,
        tokens=account.tokens,
        synthetic_tokens=account.tokens - account.original.tokens,
        original_tokens=account.original.tokens,
        share_asked=round(account.share_asked, 4),
        share_reached=round(account.share_reached, 4),
        shares={
            name: (round(prompt.share_asked, 4), round(prompt.share_reached, 4))
            for name, prompt in account.prompts.items()
        },
        short=account.short,
    )


def _prompt(name: str, part: MixedOutputs, plan: MixPlan, mix: Mix, met: float) -> PromptMix:
    """A prompt's account. `met` is the part of the original tokens asked for that is there."""
    there = plan.prompts[name]
    unused = there.text - there.empty - part.used
    if unused < part.unused or part.error > there.error or part.empty > there.empty:
        raise _mismatch(
            f"of {name} the shards read {part.used + part.unused} texts, {part.empty} empty ones and "
            f"{part.error} errors, and the dataset has {there.text - there.empty}, {there.empty} and "
            f"{there.error}"
        )
    return PromptMix(
        used=part.used,
        error=there.error,
        empty=there.empty,
        unused=unused,
        filtered=there.filtered,
        missing=there.missing,
        planned=there.text + there.error + there.filtered + there.missing,
        rows=part.rows,
        tokens=part.tokens,
        share_asked=mix.share[name],
        share_reached=share_of(part.tokens, original_needed({name: part.tokens}, mix.share) * met),
    )


def _short(mix: Mix, plan: MixPlan, shards: Sequence[MixManifest]) -> str:
    reasons = []
    if plan.short_outputs or any(shard.short_outputs for shard in shards):
        reasons.append(f"the outputs are too few for {mix.tokens} tokens")
    if plan.short_original or any(shard.short_original for shard in shards):
        reasons.append("the original data is too little for the shares")
    if not reasons:
        return ""
    return (
        f"The mix is smaller than asked for: {' and '.join(reasons)}, with at most {mix.max_repetitions} "
        "uses of each text (mix.maxRepetitions). The shares were kept."
    )


def _mismatch(problem: str) -> WorkerError:
    return WorkerError(
        Reason.ACCOUNT_MISMATCH,
        f"The account of the mix does not add up: {problem}. The mix was changed by something else, or this "
        f"is a defect. Remove {MIX_FOLDER}/ and {layout.MIX}/, and mix again.",
    )
