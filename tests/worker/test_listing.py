"""What a source leaves out: nothing in silence, and nothing because it could not be looked at."""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_listing, read_plan
from rephrase_worker.finalizer import finalize
from rephrase_worker.manifests import Manifest
from rephrase_worker.planner import planner
from rephrase_worker.report.termination import fit
from rephrase_worker.sink import ShardSink
from rephrase_worker.source import names
from rephrase_worker.source.files import FoundFiles, find_files
from rephrase_worker.spec import ExitCode, Reason, Recipe, Source, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import (
    jsonl,
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_jsonl,
    write_parquet,
)
from tests.worker.test_store import ODD_NAMES


def find(uri: Path | str, **settings: str) -> FoundFiles:
    return find_files(Source.model_validate({"uri": str(uri), **settings}), str(uri))


def paths(found: FoundFiles) -> list[str]:
    return [file.path for file in found.files]


def reasons(found: FoundFiles) -> dict[str, str]:
    return {one.path: one.reason for one in found.skipped}


def failure_of(uri: Path | str, **settings: str) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        find(uri, **settings)
    return caught.value


def texts_of(recipe: Recipe) -> list[str]:
    planner.plan(recipe)
    return [document.text for shard in shard_plans(recipe) for document in read_documents(recipe, shard)]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source with a folder that can't be listed, as for a user without permission."""
    for name in ("a.jsonl", "closed/b.jsonl", "open/c.jsonl"):
        write_jsonl(tmp_path / "in" / name, [name])
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if str(path).endswith("/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    return tmp_path / "in"


@pytest.mark.parametrize("pattern", ["", "**/*.jsonl", "**", "*/*.jsonl", "cl*/*", "closed", "closed/*"])
def test_a_folder_that_can_not_be_listed_is_an_error_that_names_it(closed: Path, pattern: str) -> None:
    error = failure_of(closed / pattern if pattern else closed)
    assert error.failure.reason is Reason.SOURCE_UNREADABLE
    assert str(closed / "closed") in error.failure.message
    assert error.exit_code is ExitCode.CONFIG


def test_a_glob_that_leads_elsewhere_does_not_look_into_it(closed: Path) -> None:
    assert paths(find(closed / "o*/*.jsonl")) == ["open/c.jsonl"]
    assert paths(find(closed / "*.jsonl")) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (PermissionError("Access Denied"), ExitCode.CONFIG),
        (OSError(5, "Input/output error"), ExitCode.INTERNAL),
        (TimeoutError("page 2"), ExitCode.INTERNAL),
    ],
)
def test_a_listing_of_an_object_store_that_fails_on_the_way_is_an_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, exit_code: ExitCode
) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    for name in ("a.jsonl", "deep/er/b.jsonl"):
        Store(root).create(name, b"-")
    fs = fsspec.filesystem("memory")
    ls = type(fs).ls

    def fail(self: Any, path: str, **kwargs: Any) -> Any:
        if path.endswith("/er"):
            raise error
        return ls(self, path, **kwargs)

    monkeypatch.setattr(type(fs), "ls", fail)
    for uri in (root, f"{root}/**/*.jsonl"):
        caught = failure_of(uri)
        assert caught.exit_code is exit_code
        assert f"{root}/deep/er" in caught.failure.message


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder of links, as the Hub's cache, DVC and git-annex make them."""
    write_jsonl(tmp_path / "blobs" / "1", ["one"])
    write_jsonl(tmp_path / "elsewhere" / "b.jsonl", ["two"])
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").symlink_to("../blobs/1")
    (folder / "sub").symlink_to("../elsewhere")
    return folder


def test_links_to_files_and_folders_are_followed(linked: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").symlink_to("in")
    assert sorted(texts_of(make_recipe(tmp_path / "whole", tmp_path / "out"))) == ["one", "two"]
    assert paths(find(linked / "**/*.jsonl")) == ["a.jsonl", "sub/b.jsonl"]
    assert paths(find(linked / "*/*.jsonl")) == ["sub/b.jsonl"]
    assert paths(find(linked / "a.jsonl")) == ["a.jsonl"]


def test_a_link_back_is_followed_once_at_most(linked: Path, tmp_path: Path) -> None:
    (linked / "self").symlink_to(".")
    (linked / "up").symlink_to("..")
    (tmp_path / "elsewhere" / "round").symlink_to("../in")
    found = find(linked)
    assert paths(found) == ["a.jsonl", "sub/b.jsonl", "up/elsewhere/b.jsonl"]
    assert names.LOOP in {reasons(found)[path] for path in ("self/", "sub/round/", "up/in/")}


@pytest.mark.parametrize("name", ["gone.jsonl", "gone.parquet", "gone"])
def test_a_link_to_nothing_is_data_that_is_missing(linked: Path, name: str) -> None:
    (linked / name).symlink_to("nowhere")
    (linked / "round.jsonl").symlink_to("round.jsonl")
    error = failure_of(linked)
    assert error.exit_code is ExitCode.CONFIG
    assert str(linked / name) in error.failure.message
    assert failure_of(linked / name).failure.reason is Reason.SOURCE_NOT_FOUND


def test_a_link_to_nothing_that_would_not_be_read_is_passed_over(linked: Path) -> None:
    (linked / "notes.md").symlink_to("nowhere")
    (linked / ".#lock").symlink_to("user@host.1234")
    os.mkfifo(linked / "pipe.jsonl")
    assert reasons(find(linked)) == {
        "notes.md": names.NOTHING,
        ".#lock": names.HIDDEN,
        "pipe.jsonl": names.SPECIAL,
    }
    for asked_for in ("pipe.jsonl", "p*.jsonl"):
        assert failure_of(linked / asked_for).exit_code is ExitCode.CONFIG


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / name / f"{name}.jsonl", ["text"])
    for number, uri in enumerate((tmp_path / name, tmp_path / name / f"{name}.jsonl")):
        recipe = make_recipe(uri, tmp_path / f"out{number}" / name)
        assert texts_of(recipe) == ["text"]
        assert read_listing(Store(recipe.output.uri)).root == str(tmp_path / name)


def test_an_existing_path_is_not_taken_for_a_glob(tmp_path: Path) -> None:
    for name in ("a[1].jsonl", "a1.jsonl", "[x]/b.jsonl", "x/c.jsonl", "x*/d.jsonl"):
        write_jsonl(tmp_path / name, [name])
    assert paths(find(tmp_path / "a[1].jsonl")) == ["a[1].jsonl"]
    assert find(tmp_path / "[x]/*.jsonl").root.path == str(tmp_path / "[x]")
    assert paths(find(tmp_path / "[x]/*.jsonl")) == ["b.jsonl"]
    assert paths(find(tmp_path / "x*/*.jsonl")) == ["d.jsonl"]
    assert paths(find(tmp_path / "[xy]/*.jsonl")) == ["x/c.jsonl"]


def test_an_invalid_pattern_is_explained(tmp_path: Path) -> None:
    error = failure_of(tmp_path / "a**b/*.jsonl")
    assert error.failure.reason is Reason.SOURCE_NOT_FOUND
    assert "pattern" in error.failure.message


@pytest.mark.parametrize("uri", ["/tmp/\0", "nosuch://a/b", "zip://a.zip", "/x/" + "long" * 100 + "*"])
def test_a_uri_that_can_not_be_looked_up_fails_the_job(uri: str) -> None:
    error = failure_of(uri)
    assert error.exit_code in (ExitCode.CONFIG, ExitCode.INTERNAL)
    assert "defect" not in error.failure.message


PASSED_OVER = {
    "README.md": names.METADATA,
    "part-00000": names.SUFFIX,
    "b.jsonl.lz4": names.SUFFIX,
    "c.csv": names.SUFFIX,
    "d.parquet.gz": names.WHOLE_PARQUET,
    "_SUCCESS": names.HIDDEN,
    ".cache/": names.HIDDEN,
    "dataset_infos.json": names.METADATA,
    "nested/state.json": names.METADATA,
}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    write_jsonl(folder / "a.jsonl", ["a"])
    for path in PASSED_OVER:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            write_jsonl(folder / path / "x.jsonl", ["x"])
        else:
            (folder / path).write_bytes(b"-")
    return folder


def test_skipped_files_are_in_listing_plan_report_and_log(
    mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make_recipe(mixed, tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        report = planner.plan(recipe)
    store = Store(recipe.output.uri)
    listing, plan = read_listing(store), read_plan(store)
    assert {one.path: one.reason for one in listing.skipped} == PASSED_OVER
    assert listing.skipped_files == plan.skipped_files == report.skipped_files == len(PASSED_OVER)
    (shard,) = shard_plans(recipe)
    documents = read_documents(recipe, shard)
    sink = ShardSink(store, recipe, shard, "pod")
    sink.commit(samples_of(recipe, documents))
    assert isinstance(sink.finish(positions(documents)), Manifest)
    finalize(recipe)
    said = [
        caplog.text,
        report.skipped or "",
        store.read(layout.CARD).decode(),
        store.read(layout.REPORT).decode(),
    ]
    for text in said:
        assert "part-00000" in text
        assert names.SUFFIX in text
    assert planner.plan(recipe) == report


def test_many_skipped_files_still_fit_into_a_termination_message(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "a.jsonl", ["a"])
    for number in range(200):
        name = f"{number}" + '"ü😀' * 20 + ".x\n"
        (tmp_path / "in" / name).write_bytes(b"-")
    report = planner.plan(make_recipe(tmp_path / "in", tmp_path / "out"))
    assert report.skipped_files == 200
    assert json.loads(fit(report)) == json.loads(report.to_json())


def test_asking_for_files_that_cannot_be_read_is_an_error_that_lists_them(mixed: Path) -> None:
    for pattern in ("*.lz4", "*.csv", "c.csv", "**/*.parquet.gz", "part-*", "dataset_inf*"):
        error = failure_of(mixed / pattern)
        assert error.exit_code is ExitCode.CONFIG
        assert next(mixed.glob(pattern)).name in error.failure.message
    assert paths(find(mixed / "*")) == ["a.jsonl"]
    assert paths(find(mixed / "**")) == ["a.jsonl"]
    assert paths(find(mixed / "*.json*")) == ["a.jsonl"]


def test_the_error_of_a_folder_without_readable_files_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"-")
    (tmp_path / "state.json").write_bytes(b"{}")
    error = failure_of(tmp_path)
    assert error.failure.reason is Reason.SOURCE_NOT_FOUND
    assert "data-00000-of-00001.arrow" in error.failure.message


def test_a_format_leaves_out_what_has_the_suffix_of_another(mixed: Path) -> None:
    write_parquet(mixed / "nested" / "z.pq", ["z"])
    found = find(mixed / "nested", format="parquet")
    assert paths(found) == ["z.pq"]
    assert reasons(find(mixed, format="parquet"))["a.jsonl"] == names.OTHER_FORMAT


METADATA = {
    "croissant.json": "[]\n",
    "dataset_info.json": json.dumps({"a": 1}, indent=2),
    "stats.json": json.dumps({"mean": 1, "rows": [1, 2]}),
    "package.json": json.dumps({"name": "x", "version": "1"}, indent=2),
    "index.json": json.dumps(["a", "b"]),
}


@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("data", ["data/train-00000-of-00001.parquet", "data.jsonl", "data.json"])
def test_json_about_a_dataset_is_not_read_as_documents(tmp_path: Path, name: str, data: str) -> None:
    if data.endswith("parquet"):
        write_parquet(tmp_path / "in" / data, ["one", "two"])
    else:
        write_jsonl(tmp_path / "in" / data, ["one", "two"])
    (tmp_path / "in" / name).write_text(METADATA[name])
    recipe = make_recipe(tmp_path / "in", tmp_path / "out")
    assert texts_of(recipe) == ["one", "two"]
    assert [one.path for one in read_listing(Store(recipe.output.uri)).skipped] == [name]


@pytest.mark.parametrize("content", ['[{"text": "a"}]', '{\n "text": "a"\n}', '{"body": "x"}\n'])
def test_json_that_may_be_documents_is_not_passed_over(tmp_path: Path, content: str) -> None:
    if "text" in content:
        write_jsonl(tmp_path / "in" / "a.jsonl", ["one"])
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "b.json").write_text(content)
    with pytest.raises(WorkerError, match=r"b\.json"):
        planner.plan(make_recipe(tmp_path / "in", tmp_path / "out"))


def test_no_job_reads_what_another_or_itself_has_written_below_its_source(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data" / "a.jsonl", ["one", "two"])
    first = make_recipe(tmp_path / "data", tmp_path / "data" / "deep" / "out", job="first")
    assert texts_of(first) == ["one", "two"]
    (shard,) = shard_plans(first)
    documents = read_documents(first, shard)
    sink = ShardSink(Store(first.output.uri), first, shard, "pod")
    sink.commit(samples_of(first, documents))
    sink.finish(positions(documents))
    (tmp_path / "data" / "deep" / "out" / layout.SOURCE_LISTING).unlink()
    (tmp_path / "data" / "deep" / "out" / layout.PLAN).unlink()
    for number, pattern in enumerate(("", "/**", "/**/*")):
        second = make_recipe(f"{tmp_path}/data{pattern}", tmp_path / f"second{number}", job="second")
        assert texts_of(second) == ["one", "two"]
        skipped = read_listing(Store(second.output.uri)).skipped
        assert {one.path: one.reason for one in skipped} == {"deep/out/": names.OUTPUT}
    assert texts_of(first) == ["one", "two"]
    named = make_recipe(tmp_path / "data" / "deep" / "out" / "faq", tmp_path / "third", job="third")
    assert texts_of(named) == ["rephrased", "rephrased"]


@pytest.mark.parametrize(
    "empty",
    [
        pa.table({"text": pa.array([], pa.string()), "id": pa.array([], pa.string())}),
        pa.table({"text": pa.nulls(0), "id": pa.nulls(0)}),
        pa.table({"text": pa.array([], pa.float64()), "id": pa.array([], pa.list_(pa.int8()))}),
        pa.table({"other": pa.array([], pa.string())}),
        pa.table({}),
    ],
    ids=lambda table: str(table.schema.types),
)
def test_parts_without_rows_are_no_error(tmp_path: Path, empty: pa.Table) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", ["one", "two"], id=["a", "b"])
    pq.write_table(empty, tmp_path / "in" / "b.parquet")
    assert texts_of(make_recipe(tmp_path / "in", tmp_path / "out", id_field="id")) == ["one", "two"]


def test_an_id_field_that_no_line_has_is_refused_with_the_fields(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1, "text": "x"}\n' * 3)
    with pytest.raises(WorkerError) as caught:
        planner.plan(make_recipe(tmp_path / "a.jsonl", tmp_path / "out", id_field="doc_id"))
    assert caught.value.failure.reason is Reason.TEXT_FIELD_MISSING
    for word in ("doc_id", "source.idField", "id, text"):
        assert word in caught.value.failure.message


@pytest.fixture(params=[0, 3])
def placeholders(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A source, and the size of the objects that an object store lists where a console has made folders."""
    root = f"memory://{uuid.uuid4().hex}"
    Store(root).create("a.jsonl", jsonl(["a"]))
    Store(root).create("sub/b.jsonl", jsonl(["b"]))
    fs = fsspec.filesystem("memory")
    ls = type(fs).ls

    def with_placeholders(self: Any, path: str, **kwargs: Any) -> Any:
        return [{"name": f"{path}/", "type": "file", "size": request.param}, *ls(self, path, **kwargs)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(fs), "ls", with_placeholders)
        yield root, request.param


@pytest.mark.parametrize("pattern", ["", "/**", "/**/*.jsonl"])
@pytest.mark.parametrize("format_", ["auto", "jsonl"])
def test_objects_that_stand_for_folders_are_no_files(
    placeholders: tuple[str, int], pattern: str, format_: str
) -> None:
    uri, size = placeholders
    found = find(uri + pattern, format=format_)
    assert paths(found) == ["a.jsonl", "sub/b.jsonl"]
    if size and pattern != "/**/*.jsonl":
        assert set(reasons(found).values()) == {names.SPECIAL}
        assert len(found.skipped) == 2
    else:
        assert found.skipped == []


def test_a_folder_without_a_name_is_reported_and_does_not_lead_back(monkeypatch: pytest.MonkeyPatch) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    Store(root).create("a.jsonl", jsonl(["a"]))
    fs = fsspec.filesystem("memory")
    ls = type(fs).ls

    def with_nameless(self: Any, path: str, **kwargs: Any) -> Any:
        return [{"name": f"{path}/", "type": "directory", "size": 0}, *ls(self, path, **kwargs)]

    monkeypatch.setattr(type(fs), "ls", with_nameless)
    found = find(root)
    assert paths(found) == ["a.jsonl"]
    assert reasons(found) == {"/": names.NAMELESS}


class OneThreadFileSystem(MemoryFileSystem):
    """Like the Hub's: an instance belongs to the thread that made it."""

    protocol = "onethread"

    @classmethod
    def _strip_protocol(cls, path: str) -> Any:
        return super()._strip_protocol(path.removeprefix("onethread:/"))

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.owner = threading.get_ident()

    def ls(self, path: str, **kwargs: Any) -> Any:
        assert self.owner == threading.get_ident()
        return super().ls(path, **kwargs)

    def info(self, path: str, **kwargs: Any) -> Any:
        assert self.owner == threading.get_ident()
        return super().info(path, **kwargs)

    def open(self, path: str, *arguments: Any, **kwargs: Any) -> Any:
        assert self.owner == threading.get_ident()
        return super().open(path, *arguments, **kwargs)


def test_no_file_system_is_used_by_two_threads(tmp_path: Path) -> None:
    fsspec.register_implementation("onethread", OneThreadFileSystem, clobber=True)
    folder = uuid.uuid4().hex
    for number in range(20):
        Store(f"memory://{folder}").create(f"{number:02d}/{number:02d}/a.jsonl", jsonl([f"{number}"]))
    expected = [str(number) for number in range(20)]
    assert texts_of(make_recipe(f"onethread://{folder}", tmp_path / "out")) == expected


def test_a_claim_may_be_mounted_elsewhere_on_every_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, uri in (("in", "pvc://data/in"), ("in", "pvc://data/in/*.jsonl"), ("", "pvc://data/a.jsonl")):
        for name in ("first", "second"):
            write_jsonl(tmp_path / name / folder / "a.jsonl", ["one"])
            os.utime(tmp_path / name / folder / "a.jsonl", (1, 1))
        recipe = make_recipe(uri, f"pvc://out/{uuid.uuid4().hex}")
        monkeypatch.setenv("REPHRASE_CLAIMS", f"data={tmp_path}/first,out={tmp_path}/out")
        planner.plan(recipe)
        root = f"pvc://data/{folder}".rstrip("/")
        assert read_listing(Store(recipe.output.uri)).root == root
        monkeypatch.setenv("REPHRASE_CLAIMS", f"out={tmp_path}/out,data={tmp_path}/second")
        assert [document.text for document in read_documents(recipe, shard_plans(recipe)[0])] == ["one"]
    monkeypatch.setenv("REPHRASE_CLAIMS", "")
    assert "claim data is not mounted" in failure_of("pvc://data/in").failure.message
