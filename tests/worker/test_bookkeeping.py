"""Frozen files that are missing, damaged or of another version are explained, wherever they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_listing, read_manifest, read_plan, read_shard
from rephrase_worker.finalizer import finalize
from rephrase_worker.generate.shard import Job, generate
from rephrase_worker.planner import plan
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.spec import EngineSettings, ExitCode, Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import make_recipe, write_jsonl


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    write_jsonl(tmp_path / "in" / "a.jsonl", ["one", "two"])
    made = make_recipe(tmp_path / "in", tmp_path / "out")
    plan(made)
    return made


def generate_shard(recipe: Recipe) -> object:
    return generate(
        Job(recipe=recipe, engine=EngineSettings(backend="simulated"), shard=0, pod_uid="pod"),
        ShardProgress(shard=0, pod_uid="pod", now=lambda: 0.0),
        on_commit=lambda: None,
        environment={},
    )


def failure_of(function: Callable[[], object]) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        function()
    return caught.value


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: b"\0" * len(content),
    "text": lambda content: b"<html>404</html>",
    "not-utf8": lambda content: b"\xff\xfe\xfa" + content,
    "nested": lambda content: b"[" * 100_000,
    "list": lambda content: b"[" + content + b"]",
    "null": lambda content: b"null",
    "field-missing": lambda content: b"{}",
    "field-unknown": lambda content: json.dumps(json.loads(content) | {"surprise": 1}).encode(),
    "field-wrong": lambda content: json.dumps(
        json.loads(content) | {"documents": "many", "root": 7}
    ).encode(),
}

READERS: dict[str, tuple[str, Callable[[Recipe], object]]] = {
    "summary": (layout.PLAN, lambda recipe: read_plan(Store(recipe.output.uri))),
    "shard": (layout.shard_plan(0), lambda recipe: read_shard(Store(recipe.output.uri), 0)),
    "listing": (layout.SOURCE_LISTING, lambda recipe: read_listing(Store(recipe.output.uri))),
    "plan": (layout.PLAN, plan),
    "generate": (layout.PLAN, generate_shard),
    "generate-shard": (layout.shard_plan(0), generate_shard),
    "finalize": (layout.PLAN, finalize),
    "finalize-shard": (layout.shard_plan(0), finalize),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_plan_is_explained(recipe: Recipe, reader: str, damage: str) -> None:
    path, read = READERS[reader]
    store = Store(recipe.output.uri)
    store.replace(path, DAMAGE[damage](store.read(path)))
    error = failure_of(lambda: read(recipe))
    assert (error.failure.reason, error.exit_code) == (Reason.PLAN_MISSING, ExitCode.INTERNAL)
    assert f"{store.uri}/{path} is damaged (" in error.failure.message
    assert "\n" not in error.failure.message
    assert "pydantic" not in error.failure.message


@pytest.mark.parametrize("version", [0, 2, "2", None, {"major": 2}])
@pytest.mark.parametrize("reader", READERS)
def test_a_plan_of_another_version_ends_the_job_and_names_both(
    recipe: Recipe, reader: str, version: object
) -> None:
    path, read = READERS[reader]
    store = Store(recipe.output.uri)
    changed = json.loads(store.read(path)) | {"schemaVersion": version, "new": "field"}
    store.replace(path, json.dumps(changed).encode())
    error = failure_of(lambda: read(recipe))
    assert (error.failure.reason, error.exit_code) == (Reason.PLAN_MISSING, ExitCode.CONFIG)
    assert f"version {version!r}, and this worker reads version 1" in error.failure.message
    assert "worker image" in error.failure.message


@pytest.mark.parametrize("path", [layout.PLAN, layout.shard_plan(0)])
@pytest.mark.parametrize("read", [generate_shard, finalize], ids=["generate", "finalize"])
def test_a_plan_that_is_not_there_is_named(
    recipe: Recipe, path: str, read: Callable[[Recipe], object]
) -> None:
    store = Store(recipe.output.uri)
    store.remove(path)
    error = failure_of(lambda: read(recipe))
    assert error.failure.reason is Reason.PLAN_MISSING
    assert f"{store.uri}/{path} is not there" in error.failure.message


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("read", [generate_shard, finalize], ids=["generate", "finalize"])
def test_a_damaged_manifest_is_explained(
    recipe: Recipe, damage: str, read: Callable[[Recipe], object]
) -> None:
    generate_shard(recipe)
    store = Store(recipe.output.uri)
    path = layout.manifest(0)
    store.replace(path, DAMAGE[damage](store.read(path)))
    error = failure_of(lambda: read(recipe))
    assert error.failure.reason is Reason.ACCOUNT_MISMATCH
    assert f"{store.uri}/{path} is damaged (" in error.failure.message


def test_a_missing_manifest_is_not_reported_as_damaged(recipe: Recipe) -> None:
    with pytest.raises(FileNotFoundError):
        read_manifest(Store(recipe.output.uri), layout.manifest(0))
