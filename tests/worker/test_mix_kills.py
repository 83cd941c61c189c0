"""A mix may be killed at any operation, run by several processes at once, and run again: one result."""

from __future__ import annotations

import random
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from rephrase_worker import layout
from rephrase_worker.finalizer import finalizer
from rephrase_worker.mix import account, freeze
from rephrase_worker.mix.run import mix_shard
from rephrase_worker.spec import EngineSettings, Recipe
from rephrase_worker.store import Store
from tests.worker.faulty_store import FaultyStore, KilledError
from tests.worker.mix_builders import bytes_of, finished, mixed, ordered, rows_of
from tests.worker.worker_process import workspace

SHARDS = 3


def forget(recipe: Recipe, *, plan: bool = False) -> None:
    store = Store(recipe.output.uri)
    for path in [*store.list("mix"), *store.list(layout.MIX_MANIFESTS), layout.MIX_ACCOUNT]:
        store.remove(path)
    if plan:
        for path in (layout.MIX_ORDER, layout.MIX_PLAN, *map(layout.mix_shard_plan, range(SHARDS))):
            store.remove(path)


@pytest.mark.parametrize("memory", [False, True], ids=["files", "objects"])
def test_a_mix_is_the_same_wherever_a_shard_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    monkeypatch.setattr(account, "_THREADS", 1)
    output = f"memory://{uuid.uuid4().hex}/out" if memory else None
    recipe = ordered(tmp_path, shards=SHARDS, output=output)
    assert finished(recipe) == SHARDS
    mixed(recipe, SHARDS)
    expected = bytes_of(recipe)
    survived, at = False, 0
    while not survived:
        at += 1
        for after in (False, True):
            forget(recipe)
            mixed_but_the_last(recipe)
            with suppress(KilledError):
                mix_shard(FaultyStore(recipe.output.uri, at=at, after=after), SHARDS - 1)
                survived = True
            assert mix_shard(Store(recipe.output.uri), SHARDS - 1) is not None
            assert bytes_of(recipe) == expected
    assert at > 10  # It was killed before and after each of that many operations.


def mixed_but_the_last(recipe: Recipe) -> None:
    for shard in range(SHARDS - 1):
        assert mix_shard(Store(recipe.output.uri), shard) is None


def test_a_plan_of_a_mix_is_the_same_wherever_finalizing_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ordered(tmp_path, shards=SHARDS)
    assert finished(recipe) == SHARDS
    store = Store(recipe.output.uri)
    paths = [layout.MIX_ORDER, layout.MIX_PLAN, *map(layout.mix_shard_plan, range(SHARDS))]
    expected = {path: store.read(path) for path in paths}
    monkeypatch.setattr(freeze, "_THREADS", 1)
    monkeypatch.setattr(finalizer, "_THREADS", 1)
    survived, at = False, 0
    while not survived:
        at += 1
        for after in (False, True):
            forget(recipe, plan=True)
            faulty = FaultyStore(recipe.output.uri, at=at, after=after)
            with monkeypatch.context() as patch:
                patch.setattr(finalizer, "Store", lambda *args, faulty=faulty, **kwargs: faulty)
                with suppress(KilledError):
                    finalizer.finalize(recipe)
                    survived = True
            assert finalizer.finalize(recipe).mix_shards == SHARDS
            assert {path: store.read(path) for path in paths} == expected


@pytest.mark.parametrize("seed", range(4))
def test_twins_that_die_at_random_end_with_one_mix_and_one_account(tmp_path: Path, seed: int) -> None:
    """Two processes for each shard at once, most of them killed somewhere, until every shard was reported."""
    recipe = ordered(tmp_path, shards=SHARDS)
    finished(recipe)
    mixed(recipe, SHARDS)
    expected = bytes_of(recipe)
    forget(recipe)
    chosen = random.Random(seed)
    complete: list[int] = []
    left = set(range(SHARDS))

    def attempt(shard: int, at: int, after: bool) -> None:
        with suppress(KilledError):
            if mix_shard(FaultyStore(recipe.output.uri, at=at, after=after), shard) is not None:
                complete.append(shard)
            left.discard(shard)

    while left:
        plans = [(shard, chosen.randint(1, 40), chosen.random() < 0.5) for shard in left for _ in range(2)]
        twins = [threading.Thread(target=attempt, args=plan) for plan in plans]
        for twin in twins:
            twin.start()
        for twin in twins:
            twin.join()
    assert complete  # Whoever came last has seen all of them.
    assert bytes_of(recipe) == expected


def test_a_process_that_is_killed_while_it_mixes_leaves_nothing_half_done(tmp_path: Path) -> None:
    recipe = ordered(tmp_path, documents=2000, original=6000, per_shard=1000)
    assert finished(recipe) == 1
    with workspace(tmp_path, recipe, EngineSettings(backend="simulated")) as space:
        for number in range(3):
            worker = space.mixer(uid=f"killed-{number}")
            worker.wait_for_line("mixing shard=0")
            if number:
                worker.wait_for_line(("reading original", "writing")[number - 1])
            worker.kill()
            assert Store(recipe.output.uri).list(layout.MIX_MANIFESTS) == []
        last = space.mixer(uid="last")
        assert last.exit_code() == 0, last.text
        report = last.report()
        assert (report["kind"], report["complete"], report["rows"]) == ("mix", True, len(rows_of(recipe)))
