from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_plan
from rephrase_worker.models import delivery
from rephrase_worker.planner import pinning, planner
from rephrase_worker.spec import EngineSettings, Model, Reason, Source, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import jsonl, make_recipe, shard_plans, write_jsonl, write_parquet

NO_MODEL = EngineSettings(backend="simulated")
"""Planning with it looks for the model's files and not into them."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "in" / "a.parquet", [f"{n}" for n in range(20)])
    write_jsonl(tmp_path / "in" / "b.jsonl", [f"{n}" for n in range(10)])
    return tmp_path / "in"


def failure_of(function: Callable[[], object]) -> tuple[Reason, str]:
    with pytest.raises(WorkerError) as caught:
        function()
    return caught.value.failure.reason, caught.value.failure.message


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_is_frozen_next_to_the_output(source: Path, tmp_path: Path) -> None:
    recipe = make_recipe(source, tmp_path / "out", documents_per_shard=8)
    report = planner.plan(recipe)
    assert (report.shards, report.documents, report.files, report.documents_exact) == (4, 30, 2, True)
    assert report.bytes == sum(path.stat().st_size for path in source.iterdir())
    assert sorted(snapshot(tmp_path / "out")) == sorted(
        [
            layout.RECIPE,
            layout.SOURCE_LISTING,
            layout.PLAN,
            layout.STATISTICS,
            *map(layout.shard_plan, range(4)),
        ]
    )
    assert [shard.shard for shard in shard_plans(recipe)] == [0, 1, 2, 3]


def test_planning_again_changes_nothing_even_when_the_source_did(source: Path, tmp_path: Path) -> None:
    recipe = make_recipe(source, tmp_path / "out")
    first = planner.plan(recipe)
    before = snapshot(tmp_path / "out")
    write_jsonl(source / "c.jsonl", ["new"])
    assert planner.plan(recipe) == first
    assert planner.plan(recipe.model_copy(update={"parallelism": 50})) == first
    assert snapshot(tmp_path / "out") == before


def test_many_planners_at_once_agree_on_one_plan(source: Path, tmp_path: Path) -> None:
    recipes = [
        make_recipe(source, tmp_path / "out", documents_per_shard=2, parallelism=1 + n) for n in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(planner.plan, recipes))
    assert all(report == reports[0] for report in reports)


def test_a_planner_that_was_killed_is_continued_with_the_listing_and_the_parallelism_it_froze(
    source: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(source, tmp_path / "out", parallelism=1)
    planner.plan(recipe)
    whole = snapshot(tmp_path / "out")
    write_jsonl(source / "c.jsonl", ["new"])
    for path in (layout.PLAN, layout.shard_plan(0)):
        (tmp_path / "out" / path).unlink()
    planner.plan(recipe.model_copy(update={"parallelism": 3}))
    assert snapshot(tmp_path / "out") == whole


def test_the_same_job_applied_again_carries_on_and_others_are_refused(source: Path, tmp_path: Path) -> None:
    planner.plan(make_recipe(source, tmp_path / "out"))
    planner.plan(make_recipe(source, tmp_path / "out"))
    reason, message = failure_of(lambda: planner.plan(make_recipe(source, tmp_path / "out", job="other")))
    assert reason is Reason.OUTPUT_IN_USE
    assert "team/job" in message
    reason, message = failure_of(
        lambda: planner.plan(make_recipe(source, tmp_path / "out", prompts=["faq", "math"], rollouts=2))
    )
    assert reason is Reason.OUTPUT_IN_USE
    assert "prompts, sampling differ" in message


@pytest.mark.parametrize("left", ["faq/shard-00000.parquet", "faq/notes.txt", layout.CARD])
def test_files_that_no_job_answers_for_are_neither_adopted_nor_overwritten(
    source: Path, tmp_path: Path, left: str
) -> None:
    (tmp_path / "out" / left).parent.mkdir(parents=True)
    (tmp_path / "out" / left).write_bytes(b"of somebody else")
    reason, message = failure_of(lambda: planner.plan(make_recipe(source, tmp_path / "out")))
    assert reason is Reason.OUTPUT_IN_USE
    assert left in message
    assert snapshot(tmp_path / "out") == {left: b"of somebody else"}


def test_a_job_is_planned_again_next_to_its_own_files(source: Path, tmp_path: Path) -> None:
    recipe = make_recipe(source, tmp_path / "out")
    first = planner.plan(recipe)
    for name in ("faq/shard-00000.parquet", layout.CARD):
        Store(recipe.output.uri).create(name, b"the job's own")
    assert planner.plan(recipe) == first


def test_a_destination_of_another_version_is_refused(source: Path, tmp_path: Path) -> None:
    Store(str(tmp_path / "out")).create(layout.RECIPE, b'{"schemaVersion": 2}')
    reason, message = failure_of(lambda: planner.plan(make_recipe(source, tmp_path / "out")))
    assert reason is Reason.OUTPUT_IN_USE
    assert "another version" in message


def test_a_job_that_can_not_be_planned_leaves_its_destination_free(source: Path, tmp_path: Path) -> None:
    failure_of(lambda: planner.plan(make_recipe(source / "typo", tmp_path / "out")))
    assert not (tmp_path / "out").exists()
    planner.plan(make_recipe(source, tmp_path / "out"))


def test_an_output_that_can_not_be_written_is_named(source: Path, tmp_path: Path) -> None:
    output = source / "b.jsonl" / "out"
    reason, message = failure_of(lambda: planner.plan(make_recipe(source, output)))
    assert reason is Reason.OUTPUT_NOT_WRITABLE
    assert str(output) in message


def test_credentials_of_no_kind_are_needed_to_see_that_a_plan_is_missing(tmp_path: Path) -> None:
    reason, message = failure_of(lambda: read_plan(Store(str(tmp_path))))
    assert reason is Reason.PLAN_MISSING
    assert layout.PLAN in message


BAD_FILES = {
    "not-parquet.parquet": (b"hello, world" * 10, "text that is not JSON"),
    "cut.parquet": (b"PAR1" + b"x" * 40, "footer"),
    "empty.parquet": (b"", "an empty file"),
    "packed.parquet": (gzip.compress(b"hello"), "a gzip file"),
    "rows.jsonl": (b"PAR1" + b"\0" * 100, "a parquet file"),
    "words.jsonl": (b"Call me Ishmael.\nSome years ago\n", "text that is not JSON"),
    "array.json": (b'[{"text": "a"},\n{"text": "b"}]\n', "a JSON array"),
    "pretty.json": (b'{\n  "text": "a"\n}\n', "spread over several lines"),
    "wide.jsonl": ('{"text": "a"}\n'.encode("utf-16-le"), "JSON"),
    "plain.jsonl.gz": (jsonl(["a"]), "not compressed with gzip: it looks like plain JSON"),
    "plain.jsonl.zst": (gzip.compress(jsonl(["a"])), "a gzip file"),
    "cut.jsonl.gz": (gzip.compress(jsonl(["a"] * 100))[:-12], "can't be decompressed"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_not_what_its_suffix_says_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, looks_like = BAD_FILES[name]
    write_jsonl(tmp_path / "in" / "good.jsonl", ["fine"])
    (tmp_path / "in" / name).write_bytes(content)
    reason, message = failure_of(lambda: planner.plan(make_recipe(tmp_path / "in", tmp_path / "out")))
    assert reason is Reason.SOURCE_FORMAT
    assert name in message
    assert looks_like in message


def test_a_few_broken_lines_do_not_make_a_file_bad(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'oops\n{"text": 3}\n[]\n{"text": "good"}\n')
    assert planner.plan(make_recipe(tmp_path / "a.jsonl", tmp_path / "out")).documents == 4


@pytest.mark.parametrize(
    ("name", "text_field", "id_field", "there"),
    [
        ("a.jsonl", "text", None, "body, url"),
        ("b.parquet", "body", None, "score, text"),
        ("b.parquet", "score", None, "text"),
        ("b.parquet", "text", "key", "score, text"),
    ],
)
def test_a_missing_field_is_answered_with_the_fields_that_are_there(
    tmp_path: Path, name: str, text_field: str, id_field: str | None, there: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"body": "x", "url": "u"}\n')
    write_parquet(tmp_path / "b.parquet", ["x"], score=[1.5])
    recipe = make_recipe(tmp_path / name, tmp_path / "out", text_field=text_field, id_field=id_field)
    reason, message = failure_of(lambda: planner.plan(recipe))
    assert reason is Reason.TEXT_FIELD_MISSING
    assert name in message
    assert there in message


def test_nothing_to_read_is_an_error_that_names_the_source(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_jsonl(tmp_path / "blank" / "a.jsonl", [])
    for uri in (tmp_path / "gone", tmp_path / "empty", tmp_path / "blank", tmp_path / "*.jsonl"):
        reason, message = failure_of(partial(planner.plan, make_recipe(uri, tmp_path / "out")))
        assert reason is Reason.SOURCE_NOT_FOUND
        assert str(uri) in message


def test_an_empty_file_among_others_is_fine(source: Path, tmp_path: Path) -> None:
    (source / "0.jsonl").write_bytes(b"")
    (source / "1.jsonl.gz").write_bytes(gzip.compress(b"\n"))
    report = planner.plan(make_recipe(source, tmp_path / "out"))
    assert (report.documents, report.files) == (30, 4)


def test_a_large_file_is_estimated_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rephrase_worker.source.inspection.COUNTED_BYTES", 1_000)
    monkeypatch.setattr("rephrase_worker.source.inspection.SAMPLE_BYTES", 2_000)
    texts = [f"{n:06d}" * 20 for n in range(1_000)]
    write_jsonl(tmp_path / "in" / "a.jsonl", texts)
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(gzip.compress(jsonl(texts)))
    for name in ("a.jsonl", "b.jsonl.gz"):
        report = planner.plan(make_recipe(tmp_path / "in" / name, tmp_path / f"out-{name}"))
        assert not report.documents_exact
        assert 500 < report.documents < 2_000


def test_a_model_folder_needs_a_config_a_tokenizer_and_weights(source: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"

    def plan() -> object:
        return planner.plan(make_recipe(source, tmp_path / "out", model=str(model)), NO_MODEL)

    files = {"no config.json": "config.json", "no tokenizer": "tokenizer.json", "no weights": "a.safetensors"}
    for problem in ("is not there", *files):
        reason, message = failure_of(plan)
        assert reason is Reason.MODEL_NOT_FOUND
        assert str(model) in message
        assert problem in message
        if problem == "is not there":
            model.mkdir()
        else:
            (model / files[problem]).write_text("{}")
    plan()


def cached_model(cache: Path, commit: str) -> None:
    """A model in a Hub cache, as a download leaves it."""
    repo = cache / "models--acme--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "snapshots" / commit).mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (repo / "snapshots" / commit / name).write_text(json.dumps({}))


def test_offline_a_hub_model_is_pinned_to_the_commit_in_the_cache(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached_model(tmp_path / "cache", commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    recipe = make_recipe(source, tmp_path / "out", model="acme/tiny")
    assert planner.plan(recipe, NO_MODEL).model_revision == commit
    assert shard_plans(recipe)[0].model_revision == commit
    with pytest.raises(WorkerError) as caught:
        delivery.pin(Model(name="acme/other"), {})
    assert caught.value.failure.reason is Reason.MODEL_NOT_FOUND
    with pytest.raises(WorkerError) as caught:
        pinning.pin_dataset(Source(uri="hf://datasets/acme/web/data"))
    assert caught.value.failure.reason is Reason.SOURCE_NOT_FOUND


def test_a_hub_dataset_is_pinned_to_a_commit_in_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    class Info:
        sha = "abc123"

    def dataset_info(repo: str, *, revision: str | None) -> Info:
        asked.append((repo, revision))
        return Info()

    monkeypatch.setattr("huggingface_hub.dataset_info", dataset_info)
    pin = pinning.pin_dataset
    assert pin(Source(uri="hf://datasets/acme/web/data/*.parquet", revision="v1")) == (
        "hf://datasets/acme/web@abc123/data/*.parquet",
        "abc123",
    )
    assert pin(Source(uri="hf://datasets/acme/web@v2/data")) == (
        "hf://datasets/acme/web@abc123/data",
        "abc123",
    )
    assert pin(Source(uri="/data")) == ("/data", None)
    assert asked == [("acme/web", "v1"), ("acme/web", "v2")]
