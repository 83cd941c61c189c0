from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_worker.plan import Range, ShardPlan, SourceFile, SourceListing
from rephrase_worker.planner import sharding
from rephrase_worker.planner.sharding import shard, total_documents
from rephrase_worker.planner.throughput import documents_per_gpu_hour
from rephrase_worker.spec import Recipe, Sampling
from tests.worker.builders import make_recipe


@st.composite
def source_files(draw: st.DrawFn) -> SourceFile:
    kind = draw(st.sampled_from(["parquet", "plain", "gzip"]))
    documents = draw(st.integers(0, 300))
    return SourceFile(
        path=f"{draw(st.integers(0, 10**9))}",
        format="parquet" if kind == "parquet" else "jsonl",
        compression="gzip" if kind == "gzip" else None,
        size=documents * draw(st.integers(2, 50)) + draw(st.integers(0, 5)),
        etag="e",
        documents=documents,
        documents_exact=True if kind == "parquet" else draw(st.booleans()),
    )


@st.composite
def listings(draw: st.DrawFn) -> SourceListing:
    files = draw(st.lists(source_files(), max_size=8, unique_by=lambda file: file.path))
    return SourceListing(root="/data", files=files)


def recipe_for(per_shard: int | None, parallelism: int, max_documents: int | None) -> Recipe:
    return make_recipe(
        "/data", "/out", documents_per_shard=per_shard, parallelism=parallelism, max_documents=max_documents
    )


recipes = st.builds(
    recipe_for,
    st.one_of(st.none(), st.integers(1, 200)),
    st.integers(1, 20),
    st.one_of(st.none(), st.integers(1, 800)),
)


def ranges_of(shards: list[ShardPlan], file: SourceFile) -> list[Range]:
    return [range_ for part in shards for range_ in part.ranges if range_.file == file]


@settings(deadline=None)
@given(listings(), recipes)
def test_ranges_follow_each_other_without_gap_or_overlap(listing: SourceListing, recipe: Recipe) -> None:
    shards = shard(listing, recipe)
    left = recipe.source.max_documents
    for file in listing.files:
        ranges = ranges_of(shards, file)
        wanted = file.documents if left is None else min(left, file.documents)
        left = None if left is None else left - wanted
        if wanted == 0:
            assert ranges == []
            continue
        assert ranges[0].start == 0
        assert all(one.end == other.start for one, other in itertools.pairwise(ranges))
        assert all(range_.end is None or range_.start < range_.end for range_ in ranges)
        if file.format == "parquet":
            assert ranges[-1].end == wanted
        elif file.compression:
            assert [range_.end for range_ in ranges] == [None]
        else:
            assert ranges[-1].end == file.size


@settings(deadline=None)
@given(listings(), recipes)
def test_shards_are_numbered_filled_and_add_up(listing: SourceListing, recipe: Recipe) -> None:
    shards = shard(listing, recipe)
    total, _ = total_documents(listing, recipe, shards)
    available = sum(file.documents for file in listing.files)
    assert total == min(available, recipe.source.max_documents or available)
    assert [part.shard for part in shards] == list(range(len(shards)))
    assert all(part.documents > 0 and part.ranges for part in shards)


@settings(deadline=None)
@given(listings(), recipes)
def test_the_same_listing_gives_the_same_shards(listing: SourceListing, recipe: Recipe) -> None:
    assert shard(listing, recipe) == shard(listing, recipe)


def parquet(documents: int) -> SourceListing:
    file = SourceFile(
        path="a.parquet", format="parquet", size=1, etag="e", documents=documents, documents_exact=True
    )
    return SourceListing(root="/data", files=[file])


@settings(deadline=None)
@given(st.integers(1, 3_000), st.integers(1, 500))
def test_explicit_shards_are_equal_but_for_the_last(documents: int, per_shard: int) -> None:
    sizes = [part.documents for part in shard(parquet(documents), recipe_for(per_shard, 4, None))]
    assert all(size == sizes[0] for size in sizes[:-1])
    assert sizes[-1] <= sizes[0]


@settings(deadline=None)
@given(st.integers(1, 10_000_000), st.integers(1, 200))
def test_unset_shards_start_at_a_gpu_hour_and_taper_to_a_tenth(documents: int, parallelism: int) -> None:
    recipe = recipe_for(None, parallelism, None)
    target = documents_per_gpu_hour(recipe)
    sizes = [part.documents for part in shard(parquet(documents), recipe)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= target
    assert all(size >= target // 10 for size in sizes[:-1])
    if documents > 2 * parallelism * target:
        assert sizes[0] == target
        assert sizes[-2] <= max(target // 10, math.ceil(target / (2 * parallelism)))


def test_shards_grow_when_there_would_be_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "MAX_SHARDS", 100)
    for recipe in (recipe_for(1, 1, None), recipe_for(None, 50, None)):
        shards = shard(parquet(50_000_000), recipe)
        assert len(shards) <= 100
        assert sum(part.documents for part in shards) == 50_000_000


def test_compressed_files_are_whole_and_do_not_inflate_a_shard_that_is_nearly_full() -> None:
    files = [
        SourceFile(
            path=f"{n}.jsonl.gz",
            format="jsonl",
            compression="gzip",
            size=9,
            etag="e",
            documents=documents,
            documents_exact=True,
        )
        for n, documents in enumerate([90, 100, 40, 40, 30])
    ]
    shards = shard(SourceListing(root="/data", files=files), recipe_for(100, 1, None))
    assert [[range_.file.path[0] for range_ in part.ranges] for part in shards] == [
        ["0"],
        ["1"],
        ["2", "3", "4"],
    ]


def test_a_shard_is_an_hour_at_the_expected_pace_and_length() -> None:
    recipe = recipe_for(None, 1, None)
    known = recipe.model_copy(update={"tokens_per_second_per_gpu": 9220})
    assert documents_per_gpu_hour(known) == 9220 * 3600 // 360
    assert documents_per_gpu_hour(recipe) == 4677 * 3600 // 360, "the mean of all models"
    (prompt,) = known.prompts
    two = [prompt.model_copy(update={"expected_tokens": 437}), prompt.model_copy(update={"name": "b"})]
    assert documents_per_gpu_hour(known.model_copy(update={"prompts": two})) == 9220 * 3600 // (437 + 360)
    short = known.model_copy(update={"sampling": Sampling(max_tokens=100, rollouts=3)})
    assert documents_per_gpu_hour(short) == 9220 * 3600 // 300
