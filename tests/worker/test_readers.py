from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datatrove.data import Document

from rephrase_worker.columns import NOTHING
from rephrase_worker.plan import Range, ShardPlan
from rephrase_worker.source import inspection
from rephrase_worker.source.files import find_files
from rephrase_worker.source.opened import watched
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import ExitCode, Reason, Source, WorkerError
from tests.worker.builders import jsonl, write_jsonl, write_parquet


def read(path: Path, start: int = 0, end: int | None = None, **settings: Any) -> list[Document]:
    """Reads one range of one file the way a worker does."""
    return list(ShardReader(shard_of(path, start, end, **settings), source_of(path, **settings)).run())


def source_of(path: Path, **settings: Any) -> Source:
    return Source(uri=str(path), **settings)


def shard_of(path: Path, start: int = 0, end: int | None = None, **settings: Any) -> ShardPlan:
    source = source_of(path, **settings)
    found = find_files(source, source.uri)
    with watched(found.root / path.name, found.files[0].size) as content:
        file = inspection.inspect(found.files[0], content, source, NOTHING).file
    range_ = Range(file=file, start=start, end=end)
    return ShardPlan(shard=0, root=found.root.uri, ranges=[range_], documents=1, documents_exact=False)


def error_of(document: Document) -> str | None:
    error = document.metadata.get("error")
    return None if error is None else str(error).partition(":")[0]


def test_a_parquet_range_yields_its_rows_with_their_numbers(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [f"text {n}" for n in range(40)], row_group_size=7)
    documents = read(tmp_path / "a.parquet", 5, 23)
    assert [document.text for document in documents] == [f"text {n}" for n in range(5, 23)]
    assert [document.metadata["source_position"] for document in documents] == list(range(5, 23))
    assert documents[0].metadata["source_file"] == "a.parquet"
    assert documents[0].id == "a.parquet:5"


@pytest.mark.parametrize(
    "type_",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_string()),
    ],
    ids=str,
)
def test_every_text_type_of_parquet_is_read(tmp_path: Path, type_: pa.DataType) -> None:
    column = pa.array([b"one", "zwölf".encode(), None, b"", b"one"]).cast(pa.string()).cast(type_)
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    documents = read(tmp_path / "a.parquet")
    assert [document.text for document in documents] == ["one", "zwölf", "", "", "one"]
    assert [error_of(document) for document in documents] == [None, None, "missing_text", "empty_text", None]


def test_text_that_is_not_utf8_costs_its_own_row_only(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"good", b"\xff\xfe", b"also"]).buffers())
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    documents = read(tmp_path / "a.parquet")
    assert [error_of(document) for document in documents] == [None, "not_utf8", None]


def test_ids_come_from_the_id_field_or_else_from_the_position(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["x", "y", "z"], key=[7, None, 9])
    assert [document.id for document in read(tmp_path / "a.parquet", id_field="key")] == [
        "7",
        "a.parquet:1",
        "9",
    ]
    (tmp_path / "b.jsonl").write_bytes(b'{"text":"x","key":"k"}\n{"text":"y"}\n')
    assert [document.id for document in read(tmp_path / "b.jsonl", id_field="key")] == ["k", "b.jsonl:23"]


LINES = [
    (b'{"text": "fine"}', None),
    (b'{"text": "half', "invalid_json"),
    (b'["text"]', "not_an_object"),
    (b'{"other": 1}', "missing_text"),
    (b'{"text": null}', "missing_text"),
    (b'{"text": 12}', "text_not_string"),
    (b'{"text": ["a"]}', "text_not_string"),
    (b'{"text": ""}', "empty_text"),
    (b'{"text": " \\n\\u00a0"}', "empty_text"),
    (b'{"text": "\xff"}', "not_utf8"),
    (b"[" * 100_000, "invalid_json"),
    (b'{"text": "fine", "score": NaN}', None),
    (b'{"text": "last"}', None),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json.zst"])
def test_every_line_that_is_not_blank_becomes_a_document(tmp_path: Path, suffix: str) -> None:
    content = b"".join(line + b"\r\n\n" for line, _ in LINES)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(
        {".jsonl": content, ".jsonl.gz": gzip.compress(content), ".json.zst": zstandard.compress(content)}[
            suffix
        ]
    )
    documents = read(path)
    assert [error_of(document) for document in documents] == [error for _, error in LINES]
    assert all(bool(document.text) == (error_of(document) is None) for document in documents)
    places = [document.metadata["source_position"] for document in documents]
    if suffix == ".jsonl":
        assert [content[place:].split(b"\r\n")[0] for place in places] == [line for line, _ in LINES]
    else:
        assert places == list(range(0, 2 * len(LINES), 2))


def test_lone_surrogates_are_replaced_so_that_the_text_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a\\ud800b \\ud83d\\ude00", "key": "\\udc00"}\n')
    (document,) = read(tmp_path / "a.jsonl", id_field="key")
    assert document.text == "a\ufffdb \U0001f600"
    assert document.id == "\\udc00"


def test_a_byte_order_mark_is_not_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + jsonl(["one", "two"]))
    assert [document.text for document in read(tmp_path / "a.jsonl")] == ["one", "two"]


def test_compressed_files_of_several_members_are_read_to_the_end(tmp_path: Path) -> None:
    parts = [jsonl(["one"]), jsonl(["two", "three"])]
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    (tmp_path / "b.jsonl.zst").write_bytes(b"".join(map(zstandard.compress, parts)))
    for name in ("a.jsonl.gz", "b.jsonl.zst"):
        assert [document.text for document in read(tmp_path / name)] == ["one", "two", "three"]


def test_a_huge_document_is_read_whole(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["small", "ä" * 5_000_000, "small"])
    assert [len(document.text) for document in read(tmp_path / "a.jsonl")] == [5, 5_000_000, 5]


def test_max_documents_ends_a_range(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [f"{n}" for n in range(10)])
    shard = shard_of(tmp_path / "a.jsonl")
    limited = shard.model_copy(update={"ranges": [shard.ranges[0].model_copy(update={"max_documents": 3})]})
    assert len(list(ShardReader(limited, source_of(tmp_path / "a.jsonl")).run())) == 3


@pytest.mark.parametrize("change", ["size", "mtime", "removed"])
def test_a_file_that_changed_after_planning_ends_the_shard(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.jsonl"
    write_jsonl(path, ["one", "two"])
    shard = shard_of(path)
    if change == "size":
        write_jsonl(path, ["one", "two", "three"])
    elif change == "mtime":
        os.utime(path, (1, 1))
    else:
        path.unlink()
    with pytest.raises(WorkerError) as caught:
        list(ShardReader(shard, source_of(path)).run())
    assert caught.value.failure.reason is Reason.SOURCE_CHANGED
    assert caught.value.exit_code is ExitCode.DATA
    assert str(path) in caught.value.failure.message


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_data_that_can_not_be_decoded_ends_the_shard(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    texts = [os.urandom(200).hex() for _ in range(2_000)]
    if name.endswith(".parquet"):
        write_parquet(path, texts, row_group_size=500)
    else:
        # The command line tool writes zstd's optional checksum by default, the library does not.
        zstd = zstandard.ZstdCompressor(write_checksum=True).compress
        compress = gzip.compress if name.endswith(".gz") else zstd
        path.write_bytes(compress(jsonl(texts)))
    shard = shard_of(path)
    before = path.stat()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2_000] = b"\xa5" * 2_000
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WorkerError) as caught:
        list(ShardReader(shard, source_of(path)).run())
    assert caught.value.failure.reason is Reason.SOURCE_UNREADABLE
    assert caught.value.exit_code is ExitCode.DATA


def test_a_network_that_fails_is_not_the_files_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["one"])
    shard = shard_of(tmp_path / "a.jsonl")

    class Disconnected(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr("rephrase_worker.store.location.Location.open", lambda self: Disconnected())
    with pytest.raises(WorkerError) as caught:
        list(ShardReader(shard, source_of(tmp_path / "a.jsonl")).run())
    assert caught.value.failure.reason is Reason.SOURCE_UNREADABLE
    assert caught.value.exit_code is ExitCode.INTERNAL


def test_a_reader_is_a_step_of_a_datatrove_pipeline(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["one"])
    before = Document(text="zero", id="0")
    reader = ShardReader(shard_of(tmp_path / "a.jsonl"), source_of(tmp_path / "a.jsonl"))
    assert [document.text for document in reader(iter([before]), rank=3, world_size=9)] == ["zero", "one"]
