from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rephrase_worker.planner import planner
from tests.worker.builders import make_recipe, read_documents, shard_plans

UUIDS = [bytes(range(16)), b"\xff" * 16]

COLUMNS: list[tuple[pa.DataType, list[Any], list[str]]] = [
    (pa.int64(), [7, -(2**63)], ["7", "-9223372036854775808"]),
    (pa.uint64(), [2**64 - 1, 2**64 - 2], ["18446744073709551615", "18446744073709551614"]),
    (pa.float64(), [1.5, 1e22], ["1.5", "1e+22"]),
    (pa.bool_(), [True, False], ["true", "false"]),
    (
        pa.timestamp("ns"),
        [1700000000000000001, 1700000000000000002],
        ["2023-11-14 22:13:20.000000001", "2023-11-14 22:13:20.000000002"],
    ),
    (
        pa.timestamp("ms"),
        [568971820800_000, 2**62],
        ["20000-01-01 00:00:00.000", "4611686018427387904"],
    ),
    (
        pa.timestamp("us", tz="Mars/Olympus"),
        [1, 2],
        ["1970-01-01 00:00:00.000001Z", "1970-01-01 00:00:00.000002Z"],
    ),
    (
        pa.timestamp("ms", tz="Europe/Berlin"),
        [0, 1],
        ["1970-01-01 00:00:00.000Z", "1970-01-01 00:00:00.001Z"],
    ),
    (pa.date32(), [3_660_000, 2**31 - 1], ["11990-09-28", "2147483647"]),
    (pa.time32("ms"), [1, 2], ["00:00:00.001", "00:00:00.002"]),
    (pa.time64("ns"), [1, 2], ["00:00:00.000000001", "00:00:00.000000002"]),
    (pa.duration("ns"), [1001, 1002], ["1001", "1002"]),
    (
        pa.decimal128(38, 2),
        [decimal.Decimal("9" * 36 + ".01"), decimal.Decimal(0)],
        ["9" * 36 + ".01", "0.00"],
    ),
    (pa.decimal256(76, 0), [decimal.Decimal("9" * 76), decimal.Decimal(-1)], ["9" * 76, "-1"]),
    (pa.binary(), [b"plain", b"\xff\xfe"], ["plain", "fffe"]),
    (pa.binary(16), UUIDS, [UUIDS[0].hex(), UUIDS[1].hex()]),
    (
        pa.uuid(),
        UUIDS,
        ["00010203-0405-0607-0809-0a0b0c0d0e0f", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ),
    (pa.json_(), ['{"a":1}', "[]"], ['{"a":1}', "[]"]),
    (pa.dictionary(pa.int8(), pa.string()), ["a", "b"], ["a", "b"]),
    (
        pa.list_(pa.timestamp("ns")),
        [[1], [2, None]],
        ['["1970-01-01 00:00:00.000000001"]', '["1970-01-01 00:00:00.000000002", null]'],
    ),
    (
        pa.struct([("a", pa.int64()), ("b", pa.date32())]),
        [{"a": 1, "b": None}, {"a": 2, "b": datetime.date(1970, 1, 2)}],
        ['{"a": 1, "b": null}', '{"a": 2, "b": "1970-01-02"}'],
    ),
    (pa.map_(pa.string(), pa.int64()), [[("k", 1)], []], ['[{"key": "k", "value": 1}]', "[]"]),
]


def ids_of(path: Path, output: Path) -> list[str]:
    recipe = make_recipe(path, output, id_field="id")
    planner.plan(recipe)
    documents = [document for shard in shard_plans(recipe) for document in read_documents(recipe, shard)]
    assert not [document.metadata for document in documents if "error" in document.metadata]
    return [document.id for document in documents]


@pytest.mark.parametrize(("type_", "values", "expected"), COLUMNS, ids=lambda value: str(value)[:40])
def test_ids_of_every_type_of_parquet_are_exact(
    tmp_path: Path, type_: pa.DataType, values: list[Any], expected: list[str]
) -> None:
    column = pa.array([*values, None], type=type_)
    pq.write_table(pa.table({"text": ["one", "two", "three"], "id": column}), tmp_path / "a.parquet")
    assert ids_of(tmp_path / "a.parquet", tmp_path / "out") == [*expected, "a.parquet:2"]


RAW = [
    "147573952589676412927",
    "147573952589676412926",
    "340282366920938463463374607431768211455",
    "-9223372036854775809",
    "1e400",
    "1.0",
    "0.30000000000000004",
    "1" * 5_000,
    "true",
    "false",
    '{"a": 147573952589676412927, "b": ["x", null, true]}',
    "[1.50, 147573952589676412926]",
    "NaN",
]


@pytest.mark.parametrize("suffix", ["", ', "score": NaN', ', "n": ' + "9" * 5_000])
def test_ids_of_json_are_the_text_that_stands_in_the_line(tmp_path: Path, suffix: str) -> None:
    lines = [f'{{"text": "x", "id": {raw}{suffix}}}\n' for raw in RAW]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    assert ids_of(tmp_path / "a.jsonl", tmp_path / "out") == RAW


def test_strings_that_utf8_cannot_hold_stay_distinct(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "x", "id": "\\ud800"}\n{"text": "y", "id": "\\ud801"}\n')
    assert ids_of(tmp_path / "a.jsonl", tmp_path / "out") == ["\\ud800", "\\ud801"]
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"\xfe"]).buffers())
    pq.write_table(pa.table({"text": ["x", "y"], "id": broken}), tmp_path / "b.parquet")
    assert ids_of(tmp_path / "b.parquet", tmp_path / "out2") == ["\\xff", "\\xfe"]


def test_a_value_nested_a_thousand_deep_is_an_error_of_its_row(tmp_path: Path) -> None:
    deep = "[" * 900 + "]" * 900
    deeper = '{"a":' * 50_000 + "1" + "}" * 50_000
    content = [
        '{"text": "good", "id": 1}',
        f'{{"text": "x", "id": {deep}}}',
        f'{{"text": "x", "id": {deeper}}}',
        f'{{"text": "x", "id": 2, "other": {deeper}}}',
        '{"text": "good", "id": 3}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(content))
    recipe = make_recipe(tmp_path / "a.jsonl", tmp_path / "out", id_field="id")
    planner.plan(recipe)
    documents = read_documents(recipe, shard_plans(recipe)[0])
    assert len(documents) == 5
    assert [documents[0].id, documents[4].id] == ["1", "3"]
    for document in documents[1:4]:
        error = str(document.metadata.get("error", ""))
        assert error.startswith("invalid_json") or json.loads(document.id)


def test_text_of_the_json_type_of_parquet_is_text(tmp_path: Path) -> None:
    column = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None]))
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    recipe = make_recipe(tmp_path / "a.parquet", tmp_path / "out")
    planner.plan(recipe)
    documents = read_documents(recipe, shard_plans(recipe)[0])
    assert [document.text for document in documents] == ['{"a":1}', ""]
