"""`generate` on real files, killed at every operation on its destination, with and without a twin."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rephrase_worker.generate.shard import Job, generate
from rephrase_worker.manifests import Manifest
from rephrase_worker.planner import planner
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.spec import EngineSettings, Recipe
from rephrase_worker.store import Store
from tests.worker.builders import make_recipe, write_jsonl, write_parquet
from tests.worker.faulty_store import FaultyStore, KilledError

DOCUMENTS = 9 + 5
ROLLOUTS = 2
PROMPTS = ("faq", "math")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    write_parquet(tmp_path / "source" / "a.parquet", [f"text number {number}" for number in range(9)])
    write_jsonl(tmp_path / "source" / "b.jsonl", ["one", "", "two", None, "three"])
    recipe = make_recipe(
        tmp_path / "source",
        tmp_path / "output",
        prompts=PROMPTS,
        rollouts=ROLLOUTS,
        documents_per_shard=100,
    )
    planner.plan(recipe)
    return recipe


def attempt(recipe: Recipe, uid: str, environment: dict[str, str] | None = None) -> Manifest:
    """One pod, from start to end."""
    engine = EngineSettings(backend="simulated", max_requests_in_flight=4, commit_interval_seconds=1)
    return generate(
        Job(recipe=recipe, engine=engine, shard=0, pod_uid=uid),
        ShardProgress(shard=0, pod_uid=uid, now=lambda: 0.0),
        on_commit=lambda: None,
        environment=environment or {},
    )


def killed_attempt(
    recipe: Recipe, uid: str, *, at: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Whether the pod was killed before it was done."""
    with monkeypatch.context() as patched:
        patched.setattr(
            "rephrase_worker.generate.shard.Store", lambda uri, **_: FaultyStore(uri, at=at, after=after)
        )
        try:
            attempt(recipe, uid)
        except KilledError:
            return True
    return False


def assert_account_is_exact(recipe: Recipe, manifest: Manifest) -> None:
    output = Path(recipe.output.uri)
    for prompt in PROMPTS:
        rows = pq.read_table(output / prompt / "shard-00000.parquet").to_pylist()
        keys = {(row["source_file"], row["source_position"], row["rollout"]) for row in rows}
        assert len(keys) == len(rows) == DOCUMENTS * ROLLOUTS
        assert sum(row["error"] is not None for row in rows) == 2 * ROLLOUTS == manifest.prompts[prompt].error
    written = json.loads(Store(recipe.output.uri).read("_rephrase/manifests/shard-00000.json"))
    assert Manifest.model_validate(written) == manifest


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_operation_costs_no_row(
    recipe: Recipe, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = 1
    while killed_attempt(recipe, f"pod-{operations}", at=operations, after=after, monkeypatch=monkeypatch):
        operations += 1
    assert operations > 10
    assert_account_is_exact(recipe, attempt(recipe, "last"))


def test_a_kill_with_some_samples_committed_loses_none_of_them(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(recipe.output.uri)
    kept = 0
    for number in range(1, 12):
        killed_attempt(recipe, f"pod-{number}", at=number, after=True, monkeypatch=monkeypatch)
        rows = sum(
            pq.read_metadata(Path(recipe.output.uri) / path).num_rows
            for path in store.list("_rephrase/segments/shard-00000")
        )
        assert rows >= kept
        kept = rows
    assert_account_is_exact(recipe, attempt(recipe, "last"))
