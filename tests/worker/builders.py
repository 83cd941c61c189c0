"""Builders for the worker's tests: recipes, source files, samples, and reading back what was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document

from rephrase_worker.bookkeeping import read_plan, read_shard
from rephrase_worker.columns import Carried
from rephrase_worker.plan import ShardPlan
from rephrase_worker.samples import Sample
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import Model, Output, Owner, Prompt, Recipe, Sampling, Sharding, Source
from rephrase_worker.store import Store


def make_recipe(
    source: Path | str,
    output: Path | str,
    *,
    prompts: Sequence[str] = ("faq",),
    rollouts: int = 1,
    documents_per_shard: int | None = None,
    parallelism: int = 1,
    model: str = "simulated",
    job: str = "job",
    **source_settings: Any,
) -> Recipe:
    return Recipe(
        job=Owner(namespace="team", name=job),
        source=Source(uri=str(source), **source_settings),
        prompts=[Prompt(name=name, template=f"{name}: {{{{document}}}}") for name in prompts],
        model=Model(name=model),
        sampling=Sampling(rollouts=rollouts),
        output=Output(uri=str(output)),
        sharding=Sharding(documents_per_shard=documents_per_shard),
        parallelism=parallelism,
    )


def write_parquet(
    path: Path, texts: Sequence[Any], *, row_group_size: int = 7, **columns: Sequence[Any]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts, **columns}), path, row_group_size=row_group_size)


def write_jsonl(path: Path, texts: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jsonl(texts))


def jsonl(texts: Iterable[Any]) -> bytes:
    return b"".join(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in texts)


def shard_plans(recipe: Recipe) -> list[ShardPlan]:
    store = Store(recipe.output.uri)
    return [read_shard(store, number) for number in range(read_plan(store).shards)]


def read_documents(recipe: Recipe, shard: ShardPlan) -> list[Document]:
    return list(ShardReader(shard, recipe.source).run())


def positions(documents: Iterable[Document]) -> list[tuple[str, int]]:
    return [
        (document.metadata["source_file"], document.metadata["source_position"]) for document in documents
    ]


def samples_of(recipe: Recipe, documents: Iterable[Document], *, text: str = "rephrased") -> list[Sample]:
    """What a worker makes of the documents: a row with the error for those that have one."""
    return [
        make_sample(
            recipe,
            source_file=document.metadata["source_file"],
            source_position=document.metadata["source_position"],
            prompt=prompt.name,
            rollout=rollout,
            id_=document.id,
            text=text,
            error=document.metadata.get("error"),
            carried=document.metadata.get("carried"),
        )
        for document in documents
        for prompt in recipe.prompts
        for rollout in range(recipe.sampling.rollouts)
    ]


def make_sample(
    recipe: Recipe,
    *,
    source_file: str,
    source_position: int,
    prompt: str,
    rollout: int = 0,
    id_: str = "id",
    text: str = "rephrased",
    error: str | None = None,
    carried: Carried | None = None,
) -> Sample:
    failed = error is not None
    return Sample(
        id=id_,
        source_file=source_file,
        source_position=source_position,
        rollout=rollout,
        text=None if failed else text,
        error=error,
        finish_reason=None if failed else "stop",
        prompt_tokens=0 if failed else 10,
        cached_prompt_tokens=0 if failed else 4,
        output_tokens=0 if failed else 5,
        truncated=False,
        prompt=prompt,
        prompt_hash=next(each.hash for each in recipe.prompts if each.name == prompt),
        model=recipe.model.name,
        revision=None,
        seed=None,
        carried=carried,
    )


def final_rows(recipe: Recipe, shard: int, prompt: str) -> list[dict[str, Any]]:
    """The rows of a shard's final file."""
    content = Store(recipe.output.uri).read(f"{prompt}/shard-{shard:05d}.parquet")
    rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(content)).to_pylist()
    return rows
