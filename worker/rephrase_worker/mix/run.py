"""Makes one shard of a frozen mix, and the account after the last one."""

from __future__ import annotations

from collections.abc import Callable

from rephrase_worker.bookkeeping import read_mix_listing, read_mix_order, read_mix_plan, read_mix_shard
from rephrase_worker.mix.account import conclude
from rephrase_worker.mix.shard import MixShard, OnTokens
from rephrase_worker.mix.tokens import TokenCounter, counter_of
from rephrase_worker.mixes import MixAccount
from rephrase_worker.spec import Model
from rephrase_worker.store import Store


def mix_shard(
    store: Store,
    shard: int,
    *,
    on_tokens: OnTokens = lambda _: None,
    counter: Callable[[Model | None], TokenCounter] = counter_of,
) -> MixAccount | None:
    """Make a shard, unless it is there. Returns the account once all shards are there.

    Raises WorkerError: PLAN_MISSING, SOURCE_CHANGED, SOURCE_UNREADABLE, ACCOUNT_MISMATCH,
    OUTPUT_NOT_WRITABLE.
    """
    order, plan = read_mix_order(store), read_mix_plan(store)
    part = MixShard(store, order, read_mix_listing(store), read_mix_shard(store, shard), on_tokens)
    if part.finished() is None:
        part.make(counter(order.tokenizer))
    return conclude(store, order, plan)
