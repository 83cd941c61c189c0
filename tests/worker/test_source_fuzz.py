"""Whatever a file holds, planning and reading end with rows or with an error that says what is wrong with it.

Seeded: the same examples every time. What is looked for are errors of libraries that nobody expected, which
would be reported as a defect and tried again on other nodes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datatrove.data import Document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rephrase_worker.planner.listing import list_source
from rephrase_worker.planner.sharding import shard
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import ExitCode, Reason, WorkerError
from tests.worker.builders import make_recipe


def fuzz(examples: int) -> settings:
    """So many examples, the same in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


LINES = b"".join(
    json.dumps({"text": f"text {n}", "id": n, "more": [n, {"deep": None}]}).encode() + b"\n"
    for n in range(20)
)


def parquet_bytes(table: pa.Table, **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


TABLE = pa.table({"text": [f"text {n}" for n in range(20)], "id": list(range(20))})
REASONS = {
    Reason.SOURCE_FORMAT,
    Reason.SOURCE_NOT_FOUND,
    Reason.SOURCE_UNREADABLE,
    Reason.TEXT_FIELD_MISSING,
}
FILES = {
    ".jsonl": LINES,
    ".jsonl.gz": gzip.compress(LINES, mtime=0),
    ".jsonl.zst": zstandard.ZstdCompressor(write_checksum=True).compress(LINES),
    ".jsonl.bz2": bz2.compress(LINES),
    ".jsonl.xz": lzma.compress(LINES),
    ".parquet": parquet_bytes(TABLE, row_group_size=7),
    ".pq": parquet_bytes(TABLE, data_page_version="2.0", compression="zstd", write_page_checksum=True),
}


def documents_of(name: str, content: bytes, *, id_field: str | None = "id") -> list[Document] | WorkerError:
    """The documents of a source of this one file, or the error that planning or reading ends with.

    A few milliseconds: a file, no destination.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        recipe = make_recipe(f"{folder}/{name}", f"{folder}/out", id_field=id_field)
        try:
            listing = list_source(recipe, None)
            shards = shard(listing, recipe)
            documents = [document for part in shards for document in ShardReader(part, recipe.source).run()]
        except WorkerError as error:
            failed = error
        else:
            failed = None
        if failed is not None:
            assert failed.failure.reason in REASONS
            assert failed.exit_code in (ExitCode.CONFIG, ExitCode.DATA)
            return failed
        assert len(documents) == sum(file.documents for file in listing.files)
        for document in documents:
            assert document.id.encode()
            assert bool(document.text) == ("error" not in document.metadata)
        return documents


def test_the_files_that_are_changed_below_are_sound() -> None:
    for suffix, content in FILES.items():
        documents = documents_of(f"a{suffix}", content)
        assert isinstance(documents, list)
        assert [document.text for document in documents] == [f"text {n}" for n in range(20)]


@pytest.mark.parametrize("suffix", FILES)
@fuzz(25)
@given(content=st.binary(max_size=200))
def test_any_bytes(suffix: str, content: bytes) -> None:
    documents_of(f"a{suffix}", content)


edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["replace", "insert", "remove", "cut"]),
        st.one_of(
            st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\n", b"\x80"])
        ),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("suffix", FILES)
@fuzz(70)
@given(edits=edits)
def test_sound_files_with_a_few_bytes_changed(suffix: str, edits: list[tuple[float, str, bytes]]) -> None:
    content = FILES[suffix]
    for where, how, data in edits:
        place = int(where * len(content))
        if how == "cut" and len(edits) > 1:
            continue
        rest = {
            "replace": content[place + len(data) :],
            "insert": content[place:],
            "remove": content[place + len(data) :],
            "cut": b"",
        }[how]
        content = content[:place] + (data if how in ("replace", "insert") else b"") + rest
    documents_of(f"a{suffix}", content)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(codec=None), max_size=8),
        st.integers(10**30, 10**40),
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.text(max_size=3), below, max_size=3)
    ),
    max_leaves=6,
)
records = st.fixed_dictionaries({}, optional={"text": values, "id": values, "x": values})
json_lines = st.one_of(
    records.map(lambda record: json.dumps(record).encode()),
    records.map(lambda record: json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.binary(max_size=20).map(lambda line: line.replace(b"\n", b" ")),
    st.sampled_from(
        [
            b'{"text": "x", "id": ' + b"7" * 5_000 + b"}",
            b'{"text": "x", "id": 1e999}',
            b'{"text": "x", "id": -0}',
            b'{"text": "x", "id": ' + b"[" * 3_000 + b"]" * 3_000 + b"}",
            b'{"text": ' + b'{"a":' * 990 + b"1" + b"}" * 991,
            b'{"text": "\\ud800", "id": "\\udfff"}',
            b'{"text": "x", "text": 2, "id": NaN}',
            b'{"text": "x"}\r{"text": "y"}',
            b"\xef\xbb\xbf\xef\xbb\xbf",
        ]
    ),
)


@fuzz(150)
@given(lines=st.lists(json_lines, max_size=6))
def test_any_lines(lines: list[bytes]) -> None:
    sound = b'{"text": "sound", "id": "first"}\n'
    documents = documents_of("a.jsonl", sound + b"\n".join(lines))
    assert isinstance(documents, list)
    assert documents[0].text == "sound"


NUMBERED = [
    pa.int64(),
    pa.uint64(),
    *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
    pa.timestamp("us", tz="UTC"),
    pa.timestamp("ns", tz="Nowhere/City"),
    *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
    pa.time64("us"),
    pa.time64("ns"),
    pa.date64(),
    pa.float64(),
]
"""Types of 64 bits, any of which a broken or strange writer may have filled with anything."""

numbers = st.lists(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-(10**6), 10**6)),
    unique=True,
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("type_", NUMBERED, ids=str)
@fuzz(20)
@given(numbers=numbers, wrapped=st.sampled_from(["plain", "list", "struct", "large_list", "fixed_size_list"]))
def test_ids_of_any_64_bits_are_read_and_stay_apart(
    type_: pa.DataType, numbers: list[int | None], wrapped: str
) -> None:
    column = pa.array(numbers, pa.int64()).view(type_)
    match wrapped:
        case "list":
            column = pa.ListArray.from_arrays(list(range(len(column) + 1)), column)
        case "large_list":
            column = pa.LargeListArray.from_arrays(list(range(len(column) + 1)), column)
        case "fixed_size_list":
            column = pa.FixedSizeListArray.from_arrays(column, 1)
        case "struct":
            column = pa.StructArray.from_arrays([column], names=["a"])
    table = pa.table({"text": ["x"] * len(column), "id": column})
    try:
        content = parquet_bytes(table)
    except pa.ArrowException:
        return  # Parquet has no seconds, and they don't all fit into milliseconds.
    documents = documents_of("a.parquet", content)
    assert isinstance(documents, list)
    ids = [document.id for document in documents]
    if not pa.types.is_date64(type_) and not pa.types.is_floating(type_):  # whole days, and many NaN
        assert len(set(ids)) == len(ids)


any_type = st.recursive(
    st.sampled_from(
        [
            pa.null(),
            pa.bool_(),
            pa.int8(),
            pa.uint32(),
            pa.float16(),
            pa.float32(),
            pa.string(),
            pa.large_string(),
            pa.string_view(),
            pa.binary(),
            pa.binary(3),
            pa.binary_view(),
            pa.date32(),
            pa.time32("s"),
            pa.timestamp("ns", tz="+05:30"),
            pa.decimal32(5, 2),
            pa.decimal64(12, 0),
            pa.decimal128(38, 10),
            pa.decimal256(70, 3),
            pa.uuid(),
            pa.json_(),
            pa.bool8(),
            pa.dictionary(pa.int8(), pa.string()),
            pa.dictionary(pa.int16(), pa.binary()),
            pa.dictionary(pa.int32(), pa.timestamp("us")),
        ]
    ),
    lambda below: st.one_of(
        below.map(pa.list_),
        below.map(pa.large_list),
        below.map(lambda type_: pa.list_(type_, 2)),
        st.lists(below, min_size=1, max_size=2).map(
            lambda types: pa.struct([(f"f{number % 2}", type_) for number, type_ in enumerate(types)])
        ),
        below.map(lambda type_: pa.map_(pa.string(), type_)),
    ),
    max_leaves=4,
)


def any_column(type_: pa.DataType, rows: int) -> pa.Array:
    """A column of the type: nulls, empty and default values, as far as Arrow makes them."""
    nulls = pa.nulls(rows, type_)
    if isinstance(type_, pa.BaseExtensionType) or pa.types.is_nested(type_) or pa.types.is_null(type_):
        return nulls
    try:
        return pa.concat_arrays([nulls, pa.array([0, 1], pa.int64()).cast(type_)])[-rows:]
    except pa.ArrowException:
        return nulls


@fuzz(150)
@given(text=any_type, id_=any_type, other=any_type)
def test_columns_of_any_type(text: pa.DataType, id_: pa.DataType, other: pa.DataType) -> None:
    columns = [any_column(type_, 3) for type_ in (text, id_, other)]
    try:
        content = parquet_bytes(pa.Table.from_arrays(columns, names=["text", "id", "other"]))
    except (pa.ArrowException, pa.ArrowNotImplementedError):
        return
    documents_of("a.parquet", content)
