"""The whole data side on a real object store: conditional puts instead of links, listings that are paged."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from s3fs import S3FileSystem

from rephrase_worker import layout
from rephrase_worker.finalizer import finalize
from rephrase_worker.manifests import Manifest
from rephrase_worker.mix.run import mix_shard
from rephrase_worker.planner import planner
from rephrase_worker.sink import ShardSink
from rephrase_worker.source.files import find_files
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import ExitCode, Output, Reason, Recipe, Source, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import (
    jsonl,
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_parquet,
)
from tests.worker.mix_builders import finished, mixed, ordered, rows_of
from tests.worker.s3_server import ACCESS_KEY, SECRET_KEY, required_weed, s3_server
from tests.worker.test_store import ODD_NAMES, check_odd_name


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        s3_server(required_weed(), tmp_path_factory.mktemp("s3")) as endpoint,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("AWS_ENDPOINT_URL", endpoint)
        environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        S3FileSystem.clear_instance_cache()
        fs = S3FileSystem()
        fs.mkdir("bucket")
        fs.pipe_file("bucket/first", b"-")  # makes the server allocate its volumes, which takes seconds
        yield "s3://bucket"
        S3FileSystem.clear_instance_cache()


@pytest.fixture
def folder(bucket: str) -> str:
    return f"{bucket}/{uuid.uuid4().hex}"


def test_of_many_threads_that_create_one_object_exactly_one_wins(folder: str) -> None:
    store = Store(folder)
    for round_ in range(3):
        barrier = threading.Barrier(8)

        def create(number: int, path: str = f"{round_}/file", barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return store.create(path, b"%d" % number * 1000)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, range(8)))
        assert won.count(True) == 1
        assert store.read(f"{round_}/file") == b"%d" % won.index(True) * 1000


def test_a_file_is_put_once_and_small_things_behave_as_on_a_disk(folder: str, tmp_path: Path) -> None:
    store = Store(folder)
    (tmp_path / "local").write_bytes(b"first")
    assert store.create_from_file("a/file", tmp_path / "local")
    (tmp_path / "local").write_bytes(b"second")
    assert not store.create_from_file("a/file", tmp_path / "local")
    assert (store.read("a/file"), store.size("a/file"), store.exists("a/file")) == (b"first", 5, True)
    store.replace("a/file", b"third")
    assert store.read("a/file") == b"third"
    store.create("a/b/deeper", b"-")
    assert store.list("a") == ["a/file"]
    assert store.list("nothing") == []
    assert not store.exists("a/gone")
    with pytest.raises(FileNotFoundError):
        store.read("a/gone")
    for _ in range(2):
        store.remove_tree("a")
        store.remove("a/file")
    assert store.list("a") == []


def test_a_listing_has_more_than_one_page(folder: str) -> None:
    store = Store(folder)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.create(f"many/{number:05d}", b"-"), range(1_050)))
    assert store.list("many") == [f"many/{number:05d}" for number in range(1_050)]


def test_a_bucket_that_is_not_there_is_the_configurations_fault(bucket: str) -> None:
    with pytest.raises(WorkerError) as caught:
        Store("s3://no-such-bucket/out", planning=True).create("a", b"-")
    assert caught.value.failure.reason is Reason.OUTPUT_NOT_WRITABLE
    assert caught.value.exit_code is ExitCode.CONFIG
    assert SECRET_KEY not in caught.value.failure.message


# SeaweedFS takes a backslash for a slash, which S3 itself does not.
@pytest.mark.parametrize("name", [name for name in ODD_NAMES if "\\" not in name])
def test_no_character_of_a_name_means_anything(folder: str, name: str, tmp_path: Path) -> None:
    store = Store(f"{folder}/{name}")
    check_odd_name(store, name, tmp_path / "local file")
    store.create(f"{name}/{name}.jsonl", jsonl(["text"]))
    for number, uri in enumerate((f"{store.uri}/{name}", f"{store.uri}/{name}/{name}.jsonl")):
        recipe = make_recipe(uri, f"{folder}/out{number}/{name}")
        planner.plan(recipe)
        (document,) = read_documents(recipe, shard_plans(recipe)[0])
        assert (document.text, document.metadata["source_file"]) == ("text", f"{name}.jsonl")


@pytest.mark.parametrize("pattern", ["", "/**", "/**/*.jsonl", "/*/*"])
def test_objects_that_stand_for_folders_are_no_files(folder: str, pattern: str) -> None:
    fs = S3FileSystem(use_listings_cache=False)
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    objects = {"in/": b"", "in/sub/": b"", "in/empty/": b"", "in/sub/b.jsonl": jsonl(["b"])}
    for key, content in objects.items():
        fs.call_s3("put_object", Bucket=bucket, Key=f"{prefix}/{key}", Body=content)
    for format_ in ("auto", "jsonl"):
        source = Source(uri=f"{folder}/in{pattern}", format=format_)
        found = find_files(source, source.uri)
        assert ([file.path for file in found.files], found.skipped) == (["sub/b.jsonl"], [])


def test_a_listing_that_breaks_off_after_its_first_page_is_an_error(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(folder)
    store.create("in/a.jsonl", b"-")
    store.create("in/sub/b.jsonl", b"-")
    pages = S3FileSystem._list_pages

    async def broken(self: S3FileSystem, method: str, **kwargs: Any) -> Any:
        async for page in pages(self, method, **kwargs):
            yield page
            if kwargs["Prefix"].endswith("/sub/"):
                raise PermissionError("Access Denied")

    monkeypatch.setattr(S3FileSystem, "_list_pages", broken)
    with pytest.raises(WorkerError, match="/in/sub can't be listed") as caught:
        find_files(Source(uri=f"{folder}/in"), f"{folder}/in")
    assert caught.value.exit_code is ExitCode.CONFIG


@pytest.fixture
def recipe(folder: str, tmp_path: Path) -> Recipe:
    """A planned job whose source and destination are both on S3."""
    source = Store(f"{folder}/in")
    write_parquet(tmp_path / "a.parquet", [f"row {n}" if n % 5 else None for n in range(30)])
    source.create_from_file("a.parquet", tmp_path / "a.parquet")
    source.create("deep/b.jsonl", jsonl(f"line {n}" for n in range(25)))
    recipe = make_recipe(f"{folder}/in", f"{folder}/out", prompts=("faq", "math"), documents_per_shard=20)
    planner.plan(recipe)
    return recipe


def test_a_job_on_s3_goes_from_plan_to_account_with_twins_on_every_shard(recipe: Recipe) -> None:
    assert planner.plan(recipe).documents == 55

    def work(number: int, twin: str) -> Manifest:
        shard = shard_plans(recipe)[number]
        documents = read_documents(recipe, shard)
        sink = ShardSink(Store(recipe.output.uri), recipe, shard, twin)
        samples = samples_of(recipe, documents, text=twin)
        for start in range(0, len(samples), 9):
            done = sink.resume().keys
            sink.commit([sample for sample in samples[start : start + 9] if sample.key not in done])
        return sink.finish(positions(documents))

    with ThreadPoolExecutor(6) as pool:
        twins = [[pool.submit(work, number, twin) for twin in "xy"] for number in range(3)]
        for one, other in twins:
            assert one.result() == other.result()
    report = finalize(recipe)
    assert (report.documents, report.samples_missing) == (55, 0)
    assert (report.samples_text, report.samples_error) == (98, 12)
    store = Store(recipe.output.uri)
    assert store.list(layout.segments_dir(0)) == []
    fs = S3FileSystem(use_listings_cache=False)
    dataset = ds.dataset(f"{recipe.output.uri.removeprefix('s3://')}/faq", filesystem=fs, format="parquet")
    keys = dataset.to_table(["source_file", "source_position"]).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == len(keys) == 55
    before = store.read(layout.ACCOUNT)
    assert finalize(recipe) == report
    assert store.read(layout.ACCOUNT) == before


def test_an_object_that_was_replaced_by_one_of_the_same_size_is_noticed(recipe: Recipe, folder: str) -> None:
    Store(f"{folder}/in").replace("deep/b.jsonl", jsonl(f"LINE {n}" for n in range(25)))
    with pytest.raises(WorkerError) as caught:
        list(ShardReader(shard_plans(recipe)[-1], recipe.source).run())
    assert caught.value.failure.reason is Reason.SOURCE_CHANGED


def test_wrong_credentials_are_told_without_showing_them(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(WorkerError) as caught:
            planner.plan(make_recipe(f"{folder}/in", f"{folder}/out"))
    finally:
        S3FileSystem.clear_instance_cache()
    assert caught.value.exit_code is ExitCode.CONFIG
    assert "credentials" in caught.value.failure.message
    assert "not-the-secret" not in caught.value.failure.message


def test_a_mix_on_an_object_store_is_the_one_on_a_file_system(folder: str, tmp_path: Path) -> None:
    local = ordered(tmp_path, documents=60, original=300, shards=2)
    assert finished(local) == 2
    mixed(local, 2)
    fs = S3FileSystem()
    fs.put(str(tmp_path / "in"), f"{folder}/in", recursive=True)
    fs.put(str(tmp_path / "original"), f"{folder}/original", recursive=True)
    assert local.mix is not None
    original = local.mix.source.model_copy(update={"uri": f"{folder}/original"})
    remote = local.model_copy(
        update={
            "source": Source(uri=f"{folder}/in"),
            "output": Output(uri=f"{folder}/out"),
            "mix": local.mix.model_copy(update={"source": original}),
        }
    )
    planner.plan(remote)
    assert finished(remote) == 2
    account = mixed(remote, 2)
    assert rows_of(remote) == rows_of(local)
    assert account.rows == len(rows_of(local))
    fs.pipe_file(f"{folder}/original/o.parquet", fs.cat_file(f"{folder}/original/o.parquet") + b"-")
    store = Store(remote.output.uri)
    store.remove(layout.mix_manifest(1))
    with pytest.raises(WorkerError) as caught:
        mix_shard(store, 1)
    assert caught.value.failure.reason is Reason.SOURCE_CHANGED
