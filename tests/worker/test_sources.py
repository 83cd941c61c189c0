from __future__ import annotations

from pathlib import Path

import pytest

from rephrase_worker.source.files import find_files
from rephrase_worker.spec import Reason, Source, WorkerError

NAMES = [
    "a.parquet",
    "b.jsonl",
    "deep/er/c.json.gz",
    "deep/d.ndjson.zst",
    "deep/upper.JSONL",
    "_SUCCESS",
    "_tmp/e.parquet",
    ".hidden/f.parquet",
    ".g.jsonl",
    "README.md",
    "part-00000",
    "odd.parquet.gz",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"-")
    return tmp_path


def find(uri: Path | str, **settings: str) -> tuple[str, list[str]]:
    source = Source.model_validate({"uri": str(uri), **settings})
    found = find_files(source, source.uri)
    return found.root.uri, [file.path for file in found.files]


def test_a_folder_is_searched_for_files_of_known_suffixes(folder: Path) -> None:
    expected = ["a.parquet", "b.jsonl", "deep/d.ndjson.zst", "deep/er/c.json.gz", "deep/upper.JSONL"]
    assert find(folder) == (str(folder), expected)
    assert find(f"{folder}/") == (str(folder), expected)


def test_formats_go_by_suffix(folder: Path) -> None:
    found = find_files(Source(uri=str(folder)), str(folder))
    assert [(file.format, file.compression) for file in found.files] == [
        ("parquet", None),
        ("jsonl", None),
        ("jsonl", "zstd"),
        ("jsonl", "gzip"),
        ("jsonl", None),
    ]


def test_a_single_file_is_relative_to_its_folder(folder: Path) -> None:
    assert find(folder / "deep/er/c.json.gz") == (str(folder / "deep/er"), ["c.json.gz"])
    assert find(folder / "_tmp/e.parquet") == (str(folder / "_tmp"), ["e.parquet"])


@pytest.mark.parametrize(
    ("pattern", "root", "expected"),
    [
        ("*.jsonl", "", ["b.jsonl"]),
        ("**/*.zst", "", ["deep/d.ndjson.zst"]),
        ("deep/*.[nz]*", "deep", ["d.ndjson.zst"]),
        ("d*/er/*", "", ["deep/er/c.json.gz"]),
        ("**/*.parquet", "", ["a.parquet"]),
        ("_*/*.parquet", "", ["_tmp/e.parquet"]),
    ],
)
def test_a_glob_is_relative_to_its_fixed_folder(
    folder: Path, pattern: str, root: str, expected: list[str]
) -> None:
    assert find(f"{folder}/{pattern}") == (str(folder / root), expected)


def test_a_file_whose_name_has_brackets_is_found(folder: Path) -> None:
    (folder / "data[1].jsonl").write_bytes(b"-")
    assert find(folder / "data[1].jsonl")[1] == ["data[1].jsonl"]


@pytest.mark.parametrize("pattern", ["part-*", "part-00000", "README.md", "odd.parquet.gz"])
def test_an_unknown_suffix_that_was_asked_for_needs_a_format(folder: Path, pattern: str) -> None:
    with pytest.raises(WorkerError) as caught:
        find(folder / pattern)
    assert caught.value.failure.reason is Reason.SOURCE_FORMAT
    assert "source.format" in caught.value.failure.message


def test_a_format_makes_suffixes_irrelevant(folder: Path) -> None:
    assert find(folder / "part-*", format="jsonl")[1] == ["part-00000"]
    assert find(folder / "deep", format="jsonl")[1] == ["d.ndjson.zst", "er/c.json.gz", "upper.JSONL"]
