"""Finished datasets to mix, original data, and reading a mix back."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.finalizer import finalize
from rephrase_worker.mix.run import mix_shard
from rephrase_worker.mixes import MixAccount
from rephrase_worker.planner import planner
from rephrase_worker.samples import Sample
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Mix, Recipe, Sampling, Source
from rephrase_worker.store import Store
from tests.worker.builders import (
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_parquet,
)


def words(chosen: random.Random, least: int, most: int) -> str:
    """A text of so many words; tokens of the simulated model are words."""
    return " ".join(f"w{chosen.randrange(1000)}" for _ in range(chosen.randint(least, most)))


def write_original(path: Path, documents: int, *, seed: int = 1, least: int = 5, most: int = 60) -> None:
    """Original documents of uneven length."""
    chosen = random.Random(seed)
    write_parquet(path, [words(chosen, least, most) for _ in range(documents)], row_group_size=10)


def ordered(
    folder: Path,
    *,
    documents: int = 40,
    original: int = 200,
    prompts: tuple[str, ...] = ("faq", "math"),
    rollouts: int = 1,
    per_shard: int = 15,
    broken: bool = True,
    output: str | None = None,
    source: str | None = None,
    model: str = "simulated",
    **mix: Any,
) -> Recipe:
    """A planned job with a mix. Every seventh document of its source has no text."""
    chosen = random.Random(3)
    write_parquet(
        folder / "in" / "a.parquet",
        [None if broken and n % 7 == 3 else words(chosen, 5, 20) for n in range(documents)],
    )
    if original and source is None:
        write_original(folder / "original" / "o.parquet", original)
    recipe = make_recipe(
        folder / "in",
        output or folder / "out",
        prompts=prompts,
        rollouts=rollouts,
        documents_per_shard=per_shard,
        model=model,
    ).model_copy(
        update={
            "sampling": Sampling(rollouts=rollouts, max_tokens=64),
            "mix": Mix(source=Source(uri=source or str(folder / "original")), **mix),
        }
    )
    planner.plan(recipe)
    return recipe


def finished(
    recipe: Recipe, *, empty: int = 11, fails: Callable[[Sample], bool] = lambda sample: sample.text is None
) -> int:
    """Write all samples, texts of uneven length, every `empty`th without any; the shards of the mix."""
    chosen = random.Random(5)

    def changed(sample: Sample) -> Sample:
        if fails(sample):
            error = sample.error or "too_long: it is"
            return replace(sample, text=None, error=error, finish_reason=None, output_tokens=3)
        if sample.text is None:
            return sample
        text = " " if chosen.randrange(empty) == 0 else words(chosen, 3, 40)
        return replace(sample, text=text, output_tokens=len(text.split()) + 1)

    store = Store(recipe.output.uri)
    for shard in shard_plans(recipe):
        documents = read_documents(recipe, shard)
        sink = ShardSink(store, recipe, shard, "pod")
        sink.commit([changed(sample) for sample in samples_of(recipe, documents)])
        sink.finish(positions(documents))
    return finalize(recipe).mix_shards


def mixed(recipe: Recipe, shards: int) -> MixAccount:
    """Make every shard; the account."""
    store = Store(recipe.output.uri)
    accounts = [mix_shard(store, shard) for shard in range(shards)]
    assert accounts[-1] is not None
    return accounts[-1]


def rows_of(recipe: Recipe) -> list[dict[str, Any]]:
    """All rows of the mix, shard by shard."""
    return [row for table in tables_of(recipe).values() for row in table.to_pylist()]


def tables_of(recipe: Recipe) -> Mapping[str, pa.Table]:
    """The files of the mix by path."""
    store = Store(recipe.output.uri)
    return {path: pq.read_table(pa.BufferReader(store.read(path))) for path in store.list("mix")}


def bytes_of(recipe: Recipe) -> dict[str, bytes]:
    """Everything that mixing has written, as it lies there."""
    store = Store(recipe.output.uri)
    paths = [*store.list("mix"), *store.list(layout.MIX_MANIFESTS), layout.MIX_ACCOUNT]
    return {path: store.read(path) for path in paths}
