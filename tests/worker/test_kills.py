"""Planner and finalizer may be killed at any operation and run again, as if nothing had happened."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from rephrase_worker import layout
from rephrase_worker.finalizer import finalizer
from rephrase_worker.planner import planner
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Recipe
from rephrase_worker.store import Store
from tests.worker.builders import (
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_jsonl,
    write_parquet,
)
from tests.worker.faulty_store import FaultyStore, KilledError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "in" / "a.parquet", [f"{n}" if n % 3 else None for n in range(9)])
    write_jsonl(tmp_path / "in" / "b.jsonl", [f"{n}" for n in range(5)])
    return tmp_path / "in"


def recipe_for(source: Path, output: str) -> Recipe:
    return make_recipe(source, output, prompts=("faq", "math"), documents_per_shard=5)


def run_shards(recipe: Recipe) -> None:
    store = Store(recipe.output.uri)
    for shard in shard_plans(recipe):
        documents = read_documents(recipe, shard)
        sink = ShardSink(store, recipe, shard, "pod")
        sink.commit(samples_of(recipe, documents))
        sink.finish(positions(documents))


def content(recipe: Recipe, paths: list[str]) -> dict[str, bytes]:
    store = Store(recipe.output.uri)
    return {path: store.read(path) for path in paths}


def killed_everywhere(
    command: Callable[[Recipe], object],
    recipe: Recipe,
    prepare: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    check: Callable[[], None],
) -> None:
    """Kills the command before and after each of its operations, runs it again, and checks the outcome."""
    survived = False
    at = 0
    while not survived:
        at += 1
        for after in (False, True):
            prepare()
            faulty = FaultyStore(recipe.output.uri, at=at, after=after)
            with monkeypatch.context() as patch:
                patch.setattr(module, "Store", lambda *args, faulty=faulty, **kwargs: faulty)
                with suppress(KilledError):
                    command(recipe)
                    survived = True
            command(recipe)
            check()


def test_a_plan_is_the_same_wherever_its_planner_was_killed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_for(source, str(tmp_path / "out"))
    planner.plan(recipe)
    paths = [layout.RECIPE, layout.SOURCE_LISTING, layout.PLAN, *map(layout.shard_plan, range(3))]
    expected = content(recipe, paths)

    def prepare() -> None:
        Store(recipe.output.uri).remove_tree(layout.BOOKKEEPING)

    def check() -> None:
        assert content(recipe, paths) == expected

    # One thread, so that the operations have an order.
    monkeypatch.setattr(planner, "_THREADS", 1)
    killed_everywhere(planner.plan, recipe, prepare, monkeypatch, planner, check)


def test_an_account_is_the_same_wherever_its_finalizer_was_killed(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_for(source, f"memory://{uuid.uuid4().hex}/out")
    planner.plan(recipe)
    run_shards(recipe)
    store = Store(recipe.output.uri)
    segments = {
        path: store.read(path) for shard in range(3) for path in store.list(layout.segments_dir(shard))
    }
    finalizer.finalize(recipe)
    paths = [layout.ACCOUNT, layout.QUALITY, layout.REPORT, layout.CARD]
    expected = content(recipe, paths)

    def prepare() -> None:
        for path in paths:
            store.remove(path)
        for path, data in segments.items():
            store.create(path, data)

    def check() -> None:
        assert content(recipe, paths) == expected
        assert not any(store.exists(path) for path in segments)

    monkeypatch.setattr(finalizer, "_THREADS", 1)
    killed_everywhere(finalizer.finalize, recipe, prepare, monkeypatch, finalizer, check)
