"""The examples of docs/reading.md run, on a finished dataset in a folder and in an object store."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import s3fs
from huggingface_hub import DatasetCard

from rephrase_worker.finalizer import finalize
from rephrase_worker.planner import planner
from rephrase_worker.samples import SCHEMA
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Output, Recipe
from rephrase_worker.store import Store
from tests.requirements import ROOT
from tests.worker.builders import (
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_parquet,
)
from tests.worker.s3_server import ACCESS_KEY, SECRET_KEY, required_weed, s3_server

PAGE = (ROOT / "docs" / "reading.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
FOLDER, BUCKET = "/data/rephrased", "s3://my-bucket/rephrased"


def finished(source: Path, output: str, *columns: str) -> Recipe:
    """A dataset of 12 documents, three of them in error, in two shards."""
    texts = [f"text {number}" if number % 4 else None for number in range(12)]
    moments = [datetime.datetime(2026, 1, 1 + number, tzinfo=datetime.UTC) for number in range(12)]
    tags = [[{"name": "a", "weight": 0.5}]] * 12
    write_parquet(source / "a.parquet", texts, url=texts, crawled=moments, tags=tags)
    recipe = make_recipe(source, output, prompts=("faq", "math"), documents_per_shard=6)
    recipe = recipe.model_copy(update={"output": Output(uri=output, columns=list(columns))})
    planner.plan(recipe)
    for shard in shard_plans(recipe):
        documents = read_documents(recipe, shard)
        sink = ShardSink(Store(output), recipe, shard, "pod")
        sink.commit(samples_of(recipe, documents))
        sink.finish(positions(documents))
    finalize(recipe)
    return recipe


def run(block: str, folder: Path, **environment: str) -> str:
    """What the block prints, in a process of its own with a folder of its own."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=folder,
        env={**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reading")
    finished(folder / "in", str(folder / "rephrased"))
    return folder / "rephrased"


LOCAL = [block for block in BLOCKS if FOLDER in block]
REMOTE = [block for block in BLOCKS if BUCKET in block]


def test_every_block_is_run() -> None:
    assert len(LOCAL) + len(REMOTE) == len(BLOCKS) > 8


EXPECTED = ("rephrased\n", "a.parquet:1 5", "", "12", "rephrased", "missing_text", "stop", "text 1 -> ")


@pytest.mark.parametrize(("block", "words"), list(zip(LOCAL, EXPECTED, strict=True)))
def test_an_example_reads_the_folder(block: str, words: str, dataset: Path, tmp_path: Path) -> None:
    printed = run(block.replace(FOLDER, str(dataset)), tmp_path / "run")
    assert words in printed
    if "datatrove" in block:
        written = [file.read_text() for file in (tmp_path / "run" / "faq-jsonl").iterdir()]
        assert sum(text.count("\n") for text in written) == 9


@pytest.mark.parametrize("columns", [(), ("url", "crawled", "tags", "text")])
def test_datasets_finds_in_the_folder_what_the_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...]
) -> None:
    finished(tmp_path / "in", str(tmp_path / "rephrased"), *columns)
    dataset = tmp_path / "rephrased"
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    info = DatasetCard((dataset / "README.md").read_text()).data.get("dataset_info")
    for said in info:
        builder = datasets.load_dataset_builder(
            str(dataset), said["config_name"], cache_dir=str(tmp_path / "cache")
        )
        loaded = datasets.load_dataset(str(dataset), said["config_name"], cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == ["train"]
        assert loaded["train"].features._to_yaml_list() == said["features"]
        assert builder.info.features == loaded["train"].features
        assert loaded["train"].num_rows == said["splits"][0]["num_examples"] == 12
        found = loaded["train"].info.splits["train"]
        assert found.num_bytes == pytest.approx(said["splits"][0]["num_bytes"], rel=0.02)
        sizes = [file.stat().st_size for file in (dataset / said["config_name"]).iterdir()]
        assert said["download_size"] == sum(sizes)
        assert len(said["features"]) == len(SCHEMA) + len(columns)
    assert datasets.get_dataset_config_names(str(dataset)) == ["faq", "math"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(required_weed(), folder) as endpoint, pytest.MonkeyPatch.context() as patch:
        environment = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("my-bucket")
        finished(folder / "in", BUCKET)
        yield environment


def test_the_examples_read_the_object_store(bucket: dict[str, str], tmp_path: Path) -> None:
    printed = [run(block, tmp_path / str(number), **bucket) for number, block in enumerate(REMOTE)]
    for output, words in zip(printed, ("a.parquet", "12", "45", "12"), strict=True):
        assert words in output


def test_a_dataset_in_an_object_store_is_verified_where_it_lies(
    bucket: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from rephrase_operator import cli

    for depth in ([], ["--quick"], ["--content"]):
        assert cli.main(["verify", BUCKET, *depth]) == 0
    assert capsys.readouterr().out.count("is complete: nothing lost, nothing doubled.") == 3
    s3fs.S3FileSystem(skip_instance_cache=True).rm_file("my-bucket/rephrased/faq/shard-00001.parquet")
    assert cli.main(["verify", BUCKET]) == 1
    assert "faq/shard-00001.parquet: it is not there" in capsys.readouterr().out
