"""How files are framed: marks, members, frames, line ends, and files that are something else altogether."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.parquet import encryption

from rephrase_worker.planner import planner
from rephrase_worker.spec import ExitCode, Reason, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import jsonl, make_recipe, read_documents, shard_plans

BOM = b"\xef\xbb\xbf"

Compress = Callable[[bytes], bytes]

COMPRESSIONS: dict[str, Compress] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def texts_of(path: Path, output: Path, **source: str) -> list[str]:
    """The texts that planning and reading give; the planner's count has to be the reader's."""
    recipe = make_recipe(path, output, **source)
    report = planner.plan(recipe)
    documents = [document for shard in shard_plans(recipe) for document in read_documents(recipe, shard)]
    assert report.documents == len(documents)
    assert [document.metadata["error"] for document in documents if "error" in document.metadata] == []
    return [document.text for document in documents]


def refusal_of(path: Path, output: Path, **source: str) -> str:
    """What planning says of a file that it refuses, for good."""
    with pytest.raises(WorkerError) as caught:
        planner.plan(make_recipe(path, output, **source))
    assert caught.value.failure.reason in (Reason.SOURCE_FORMAT, Reason.TEXT_FIELD_MISSING)
    assert caught.value.exit_code is ExitCode.CONFIG
    assert path.name in caught.value.failure.message
    return caught.value.failure.message


@pytest.mark.parametrize("suffix", ["", *COMPRESSIONS])
def test_a_byte_order_mark_may_stand_where_two_files_were_joined(tmp_path: Path, suffix: str) -> None:
    parts = [BOM + jsonl(["one", "two"]), BOM + BOM + b" " + jsonl(["three"]), BOM + b"\n"]
    compress = COMPRESSIONS.get(suffix, bytes)
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(b"".join(map(compress, parts)))
    assert texts_of(path, tmp_path / "out") == ["one", "two", "three"]


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_files_of_several_members_are_read_to_the_end(tmp_path: Path, suffix: str) -> None:
    parts = [
        jsonl(["one"]),
        b"",
        jsonl(["two", "x" * 3_000_000])[:-10],
        jsonl(["two", "x" * 3_000_000])[-10:],
    ]
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(b"".join(map(COMPRESSIONS[suffix], parts)))
    assert [len(text) for text in texts_of(path, tmp_path / "out")] == [3, 3, 3_000_000]


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("zeros", [4, 1 << 20])
def test_zeros_that_pad_a_file_are_passed_over(tmp_path: Path, suffix: str, zeros: int) -> None:
    member = COMPRESSIONS[suffix](jsonl(["one"]))
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(member + b"\0" * zeros + member + b"\0" * zeros)
    assert texts_of(path, tmp_path / "out") == ["one", "one"]


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_garbage_after_a_member_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(COMPRESSIONS[suffix](jsonl(["one"])) + b"secret words that follow")
    assert "secret" not in refusal_of(path, tmp_path / "out")


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_a_file_that_is_cut_off_anywhere_is_an_error(tmp_path: Path, suffix: str) -> None:
    whole = COMPRESSIONS[suffix](jsonl([f"{n * n}" for n in range(200)]))
    path = tmp_path / f"a.jsonl{suffix}"
    for number, length in enumerate({*range(8, len(whole), len(whole) // 12), len(whole) - 1}):
        path.write_bytes(whole[:length])
        refusal_of(path, tmp_path / f"out{number}")


def test_zstd_windows_of_two_gibibytes_are_read(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=31)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = jsonl([f"comment {n}" for n in range(20)])
    (tmp_path / "a.jsonl.zst").write_bytes(compressor.compress(content) + compressor.flush())
    assert len(texts_of(tmp_path / "a.jsonl.zst", tmp_path / "out")) == 20


def test_zstd_frames_to_skip_are_skipped(tmp_path: Path) -> None:
    def skippable(number: int, size: int) -> bytes:
        return bytes([0x50 + number]) + b"\x2a\x4d\x18" + size.to_bytes(4, "little") + b"?" * size

    frames = [skippable(0, 3), zstandard.compress(jsonl(["one"])), skippable(15, 300_000)]
    frames += [zstandard.compress(jsonl(["two"])), skippable(7, 0)]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    assert texts_of(tmp_path / "a.jsonl.zst", tmp_path / "out") == ["one", "two"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b" \t\r\n"])
def test_line_ends_of_every_system_are_read(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(["one", "two"]).replace(b"\n", end).removesuffix(end))
    assert texts_of(tmp_path / "a.jsonl", tmp_path / "out") == ["one", "two"]


SECRET = "swordfish"

OTHER_THINGS: dict[str, tuple[bytes, str]] = {
    "lone-returns.jsonl": (b'{"text": "swordfish"}\r{"text": "b"}\r', "carriage returns alone"),
    "array.jsonl": (b'[{"text": "swordfish"},\n{"text": "b"}]', "a JSON array"),
    "array.json": (b'[{"text": "swordfish"}]', "a JSON array"),
    "pretty.jsonl": (b'{\n"text": "swordfish"\n}', "spread over several lines"),
    "utf16-le.jsonl": ('{"text": "swordfish"}\n'.encode("utf-16"), "UTF-16"),
    "utf16-be.jsonl": ('\ufeff{"text": "swordfish"}\n'.encode("utf-16-be"), "UTF-16"),
    "utf16-bare.jsonl": ('{"text": "swordfish"}\n'.encode("utf-16-le"), "UTF-16"),
    "utf32.jsonl": ('{"text": "swordfish"}\n'.encode("utf-32"), "UTF-32"),
    "page.jsonl": (b"<!DOCTYPE html><html><title>swordfish</title>", "an HTML page"),
    "page2.jsonl": (b"\n <HTML><body>swordfish", "an HTML page"),
    "page.parquet": (b"<html>swordfish</html>", "an HTML page"),
    "page.jsonl.gz": (b"<html>swordfish</html>", "an HTML page"),
    "error.parquet": (b'<?xml version="1.0"?><Error>swordfish</Error>', "an XML document"),
    "pointer.parquet": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:swordfish\nsize 1\n",
        "Git LFS pointer",
    ),
    "pointer.jsonl.zst": (b"version https://git-lfs.github.com/spec/v1\noid swordfish", "Git LFS pointer"),
    "annex.jsonl": (b"/annex/objects/swordfish\n", "git-annex pointer"),
    "passwd.jsonl": (b"root:swordfish:0:0\n", "text that is not JSON"),
    "latin1.jsonl": ("schön swordfish\n".encode("latin-1"), "not UTF-8"),
    "numbers.jsonl": (b"1\n2\nswordfish\n", "text that is not JSON"),
    "binary.jsonl": (b"\x01\x02\x00swordfish\xff\x00\x03", "binary data"),
    "keys.parquet": (b"PARE" + b"swordfish" * 20 + b"PARE", "encrypted"),
    "head.parquet": (b"PAR1swordfish", "cut off, damaged or encrypted"),
    "zip.jsonl": (b"PK\x03\x04swordfish", "a zip file"),
    "empty.parquet": (b"", "an empty file"),
}


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_a_wrong_file_is_described_without_quoting_its_content(tmp_path: Path, name: str) -> None:
    content, kind = OTHER_THINGS[name]
    (tmp_path / name).write_bytes(content)
    message = refusal_of(tmp_path / name, tmp_path / "out")
    assert kind in message
    assert SECRET not in message


def test_a_json_line_that_is_not_an_object_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'"swordfish"\n' * 3)
    assert SECRET not in refusal_of(tmp_path / "a.jsonl", tmp_path / "out")


def test_names_of_fields_are_listed_short_and_printable(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"' + b"k" * 5_000 + b'": 1, "a\\u0007b": 2}\n')
    message = refusal_of(tmp_path / "a.jsonl", tmp_path / "out")
    assert len(message) < 500
    assert "\a" not in message


def parquet_file(table: pa.Table, **options: object) -> bytearray:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return bytearray(file.getvalue())


def test_checksums_of_parquet_pages_are_verified(tmp_path: Path) -> None:
    words = ["alpha", "bravo", "delta"]
    content = parquet_file(
        pa.table({"text": words}),
        row_group_size=1,
        write_page_checksum=True,
        write_statistics=False,
        compression="none",
        use_dictionary=False,
    )
    path = tmp_path / "a.parquet"
    place = content.index(b"bravo")
    content[place : place + 5] = b"wrong"
    path.write_bytes(content)
    recipe = make_recipe(path, tmp_path / "out")
    planner.plan(recipe)
    with pytest.raises(WorkerError) as caught:
        read_documents(recipe, shard_plans(recipe)[0])
    assert caught.value.failure.reason is Reason.SOURCE_UNREADABLE
    assert caught.value.exit_code is ExitCode.DATA


def test_parquet_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    content = parquet_file(pa.table({"text": ["one"] * 100}))
    for number, length in enumerate((4, 12, len(content) // 2, len(content) - 4, len(content) - 1)):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(content[:length])
        assert "cut off" in refusal_of(path, tmp_path / f"out{number}")


def test_a_text_column_that_is_there_twice_or_nested_is_refused(tmp_path: Path) -> None:
    texts = pa.array(["one"])
    twice = pa.Table.from_arrays([texts, texts], names=["text", "text"])
    nested = pa.table({"text": pa.array([{"a": "one"}])})
    (tmp_path / "twice.parquet").write_bytes(parquet_file(twice))
    (tmp_path / "nested.parquet").write_bytes(parquet_file(nested))
    assert "several columns named text" in refusal_of(tmp_path / "twice.parquet", tmp_path / "out")
    assert "struct" in refusal_of(tmp_path / "nested.parquet", tmp_path / "out")
    assert "no column a.b" in refusal_of(tmp_path / "nested.parquet", tmp_path / "out", text_field="a.b")


def test_columns_with_dots_in_their_names_and_columns_twice_elsewhere_are_no_trouble(tmp_path: Path) -> None:
    table = pa.Table.from_arrays(
        [pa.array(["one"]), pa.array([{"b": 1}]), pa.array([7]), pa.array([8])], names=["a.b", "a", "n", "n"]
    )
    (tmp_path / "a.parquet").write_bytes(parquet_file(table))
    assert texts_of(tmp_path / "a.parquet", tmp_path / "out", text_field="a.b") == ["one"]


def test_row_groups_may_be_empty(tmp_path: Path) -> None:
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(tmp_path / "a.parquet", schema) as writer:
        for texts in ([], ["one"], [], ["two", "three"], []):
            writer.write_table(pa.table({"text": texts}, schema=schema), row_group_size=10)
    assert texts_of(tmp_path / "a.parquet", tmp_path / "out") == ["one", "two", "three"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_would_fill_the_memory_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, end: bytes
) -> None:
    monkeypatch.setattr("rephrase_worker.source.lines.LONGEST", 1_000)
    content = jsonl(["a", "b" * 5_000_000, "c", "d" * (1_000 - 13), "e" * 1_000]).removesuffix(b"\n") + end
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    recipe = make_recipe(path, tmp_path / "out", documents_per_shard=2)
    assert planner.plan(recipe).documents == 5
    documents = [document for shard in shard_plans(recipe) for document in read_documents(recipe, shard)]
    assert [document.text[:1] for document in documents] == ["a", "", "c", "d", ""]
    errors = [str(document.metadata.get("error")).partition(":")[0] for document in documents]
    assert errors == ["None", "line_too_long", "None", "None", "line_too_long"]


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_encrypted_parquet_is_refused_while_planning(tmp_path: Path, plaintext_footer: bool) -> None:
    class Kms(encryption.KmsClient):
        def wrap_key(self, key: bytes, name: str) -> bytes:
            return base64.b64encode(key)

        def unwrap_key(self, wrapped: bytes, name: str) -> bytes:
            return base64.b64decode(wrapped)

    properties = encryption.CryptoFactory(lambda config: Kms()).file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(
            footer_key="footer", column_keys={"column": ["text"]}, plaintext_footer=plaintext_footer
        ),
    )
    table = pa.table({"text": ["swordfish"], "n": [1]})
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    message = refusal_of(tmp_path / "a.parquet", tmp_path / "out")
    assert "encrypted" in message
    assert SECRET not in message


def test_a_file_whose_length_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    Store(root).create("a.jsonl", jsonl(["one"]))
    info = MemoryFileSystem.info

    def without_length(self: MemoryFileSystem, path: str, **kwargs: object) -> dict[str, object]:
        return {**info(self, path, **kwargs), "size": None}

    monkeypatch.setattr(MemoryFileSystem, "info", without_length)
    recipe = make_recipe(f"{root}/a.jsonl", tmp_path / "out")
    with pytest.raises(WorkerError, match=r"does not say how long a\.jsonl is") as caught:
        planner.plan(recipe)
    assert caught.value.exit_code is ExitCode.CONFIG
