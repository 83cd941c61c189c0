"""Planning and reading together: whatever the files hold, every document is read exactly once."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_worker.planner import planner
from rephrase_worker.source import inspection
from tests.worker.builders import make_recipe, positions, read_documents, shard_plans, write_parquet

lines = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(
        lambda text: '{"text": "' + text.replace("\\", "").replace('"', "").replace("\n", "").strip() + 'é"}'
    ),
    st.integers(1, 400).map(lambda size: '{"text": "' + "ü" * size + '"}'),
    st.sampled_from(["", " ", "\t", "{", "null"]),
)


@st.composite
def jsonl_files(draw: st.DrawFn) -> bytes:
    content = "".join(draw(st.lists(lines.map(lambda line: line.replace("\r", "") + "\n"), max_size=30)))
    content = '{"text": "at least one"}\n' + content
    if draw(st.booleans()):
        content = content.removesuffix("\n")
    if draw(st.booleans()):
        content = content.replace("\n", "\r\n")
    bom = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return bom + content.encode()


def documents_in(content: bytes) -> int:
    return sum(1 for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(jsonl_files(), min_size=1, max_size=3),
    st.integers(0, 40),
    st.integers(1, 12),
    st.booleans(),
)
def test_every_document_of_every_file_is_in_exactly_one_shard(
    contents: list[bytes], rows: int, per_shard: int, counted: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        if not counted:
            monkeypatch.setattr(inspection, "COUNTED_BYTES", 0)
            monkeypatch.setattr(inspection, "SAMPLE_BYTES", 64)
        source = Path(folder) / "in"
        write_parquet(source / "rows.parquet", [f"row {n}" for n in range(rows)])
        for number, content in enumerate(contents):
            (source / f"{number}.jsonl").write_bytes(content)
        (source / "packed.jsonl.gz").write_bytes(gzip.compress(contents[0]))
        recipe = make_recipe(source, Path(folder) / "out", documents_per_shard=per_shard)
        report = planner.plan(recipe)
        found = [place for shard in shard_plans(recipe) for place in positions(read_documents(recipe, shard))]
        total = rows + sum(map(documents_in, contents)) + documents_in(contents[0])
        assert len(set(found)) == len(found) == total
        assert report.documents_exact == counted
        if counted:
            assert report.documents == total


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12))
def test_max_documents_takes_the_first_documents(limit: int, per_shard: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        write_parquet(source / "a.parquet", [f"{n}" for n in range(25)])
        (source / "b.jsonl").write_bytes(b"".join(b'{"text": "%03d"}\n' % n for n in range(25, 45)))
        recipe = make_recipe(source, Path(folder) / "out", documents_per_shard=per_shard, max_documents=limit)
        planner.plan(recipe)
        texts = [
            int(document.text) for shard in shard_plans(recipe) for document in read_documents(recipe, shard)
        ]
        assert texts == list(range(min(limit, 45)))
