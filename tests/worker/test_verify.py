"""`rephrase verify`: every way in which a finished dataset can be changed is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rephrase_operator import cli
from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_manifest
from rephrase_worker.finalizer import finalize
from rephrase_worker.planner import planner
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Recipe, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.verify import Depth, FaultKind, Outcome, Verification, verify
from tests.worker.builders import (
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_jsonl,
    write_parquet,
)
from tests.worker.mix_builders import finished, mixed, ordered, rows_of

SHARDS = 4
FILE = "faq/shard-00001.parquet"


def planned(folder: Path, **source: Any) -> Recipe:
    """A job of 20 documents in a parquet and a text file, four of them in error, cut into four shards."""
    write_parquet(folder / "in" / "a.parquet", [f"text {n}" if n % 4 else None for n in range(12)])
    write_jsonl(folder / "in" / "b.jsonl", [f"line {n}" if n else 17 for n in range(8)])
    recipe = make_recipe(
        folder / "in",
        folder / "out",
        prompts=("faq", "math"),
        rollouts=2,
        documents_per_shard=5,
        **source,
    )
    planner.plan(recipe)
    return recipe


def run_shard(recipe: Recipe, number: int) -> None:
    shard = shard_plans(recipe)[number]
    documents = read_documents(recipe, shard)
    sink = ShardSink(Store(recipe.output.uri), recipe, shard, "pod")
    sink.commit(samples_of(recipe, documents))
    sink.finish(positions(documents))


class Dataset:
    """A finished dataset, and ways to spoil it."""

    def __init__(self, folder: Path, **source: Any) -> None:
        self.recipe = planned(folder, **source)
        for shard in range(len(shard_plans(self.recipe))):
            run_shard(self.recipe, shard)
        finalize(self.recipe)
        self.root = folder / "out"
        self.store = Store(self.recipe.output.uri)

    def rewrite(self, path: str, change: Callable[[pa.Table], pa.Table]) -> None:
        """Changes a file, and the size in the manifest, so that only the rows give it away."""
        table = pq.read_table(self.root / path)
        pq.write_table(change(table), self.root / path, compression="zstd")
        prompt, shard = path.split("/")[0], int(path[-13:-8])
        size = (self.root / path).stat().st_size
        self.edit(layout.manifest(shard), lambda it: it["prompts"][prompt].__setitem__("bytes", size))
        account = json.loads(self.store.read(layout.ACCOUNT))
        total = sum(file.stat().st_size for file in (self.root / prompt).iterdir())
        account["prompts"][prompt]["bytes"] = total
        self.store.replace(layout.ACCOUNT, json.dumps(account).encode())

    def edit(self, path: str, change: Callable[[dict[str, Any]], object]) -> None:
        content = json.loads(self.store.read(path))
        change(content)
        self.store.replace(path, json.dumps(content).encode())

    def verify(self, depth: Depth = Depth.ROWS, **arguments: Any) -> Verification:
        return verify(self.recipe.output.uri, depth=depth, **arguments)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path)


def found(result: Verification) -> list[tuple[FaultKind, str]]:
    return [(fault.kind, fault.where) for fault in result.faults]


@pytest.mark.parametrize("depth", Depth)
def test_a_whole_dataset_is_complete(dataset: Dataset, depth: Depth) -> None:
    result = dataset.verify(depth)
    assert result.faults == []
    assert result.outcome is Outcome.COMPLETE
    assert (result.documents, result.planned, result.text, result.error) == (20, 80, 64, 16)
    assert (result.missing, result.shards, result.shards_finished) == (0, SHARDS, SHARDS)
    assert (result.files, result.rows, result.output_tokens) == (8, 80, 320)


def test_positions_agree_with_the_source_when_it_is_read_again(dataset: Dataset) -> None:
    result = dataset.verify(source=True)
    assert (result.outcome, result.source_read) == (Outcome.COMPLETE, True)


def without_row(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 3), table.slice(4)])


def with_row_twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 4), table.slice(3)])


def with_row_doubled_over_another(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 3), table.slice(2, 1), table.slice(4)])


def with_column(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    def changed(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        values = pa.array(change(table.column(name).to_pylist()), type=table.schema.field(name).type)
        return table.set_column(place, table.schema.field(name), values)

    return changed


def first_is(value: object) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [value, *values[1:]]


ROWS: dict[str, tuple[Callable[[pa.Table], pa.Table], FaultKind, str]] = {
    "a row is gone": (without_row, FaultKind.ROWS_MISSING, "a.parquet position 6 rollout 1"),
    "a row is there twice": (with_row_twice, FaultKind.ROWS_REPEATED, "a.parquet position 6 rollout 1"),
    "a row took the place of another": (
        with_row_doubled_over_another,
        FaultKind.ROWS_REPEATED,
        "a.parquet position 6 rollout 0",
    ),
    "rows are in another order": (
        lambda table: table.take(pa.array(range(table.num_rows - 1, -1, -1))),
        FaultKind.ROW_ORDER,
        "not sorted",
    ),
    "a position is another shard's": (
        with_column("source_position", first_is(99)),
        FaultKind.ROWS_FOREIGN,
        "a.parquet position 99 rollout 0",
    ),
    "a source file is unknown": (
        with_column("source_file", first_is("c.parquet")),
        FaultKind.ROWS_FOREIGN,
        "a file that the shard does not read",
    ),
    "a rollout is one too many": (
        with_column("rollout", first_is(2)),
        FaultKind.ROWS_FOREIGN,
        "rollout 2",
    ),
    "a token count is another": (
        with_column("output_tokens", first_is(6)),
        FaultKind.COUNTS,
        "output_tokens",
    ),
    "a prompt token count is another": (
        with_column("prompt_tokens", first_is(9)),
        FaultKind.COUNTS,
        "prompt_tokens",
    ),
    "a finish reason is another": (
        with_column("finish_reason", first_is("length")),
        FaultKind.COUNTS,
        "finish reasons",
    ),
    "a text has become an error": (
        lambda table: with_column("error", first_is("engine_error: no"))(
            with_column("text", first_is(None))(table)
        ),
        FaultKind.COUNTS,
        "texts: its rows have 7, and the manifest says 8",
    ),
    "a row has text and error": (
        with_column("error", first_is("engine_error: no")),
        FaultKind.VALUES,
        "both a text and an error",
    ),
    "an error has another code": (
        with_column("error", lambda all_: [each and "engine_error: no" for each in all_]),
        FaultKind.COUNTS,
        "errors by code",
    ),
    "a prompt hash is another": (
        with_column("prompt_hash", first_is("0" * 16)),
        FaultKind.VALUES,
        "prompt_hash is '0000000000000000' in some rows",
    ),
    "a prompt is another": (with_column("prompt", first_is("math")), FaultKind.VALUES, "prompt is 'math'"),
    "a model is another": (with_column("model", first_is("gpt")), FaultKind.VALUES, "model is 'gpt'"),
    "a revision is another": (with_column("revision", first_is("main")), FaultKind.VALUES, "revision"),
    "a column is gone": (lambda table: table.drop(["seed"]), FaultKind.SCHEMA, "seed"),
    "a column is new": (
        lambda table: table.append_column("more", pa.nulls(table.num_rows)),
        FaultKind.SCHEMA,
        "more",
    ),
    "a type is wider": (
        lambda table: table.set_column(3, "rollout", pc.cast(table.column("rollout"), pa.int64())),
        FaultKind.SCHEMA,
        "rollout: int32",
    ),
    "a key column is gone": (
        lambda table: table.drop(["source_position"]),
        FaultKind.FILE_DAMAGED,
        "no column source_position",
    ),
    "all rows are gone": (lambda table: table.slice(0, 0), FaultKind.ROWS_MISSING, "10 rows are missing"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_change_of_rows_is_found_and_named(dataset: Dataset, name: str) -> None:
    change, kind, words = ROWS[name]
    dataset.rewrite(FILE, change)
    result = dataset.verify()
    assert result.outcome is Outcome.FAULTY
    assert any(
        (fault.kind, fault.where) == (kind, FILE) and words in fault.what and "shard 1" in fault.remedy
        for fault in result.faults
    )
    assert {each.where for each in result.faults} <= {FILE, layout.manifest(1)}


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"rows are in another order"}))
def test_a_checksum_gives_every_change_away(dataset: Dataset, name: str) -> None:
    dataset.rewrite(FILE, ROWS[name][0])
    assert (FaultKind.FILE_DAMAGED, FILE) in found(dataset.verify(Depth.CONTENT))


def test_a_text_that_was_changed_is_found_when_every_byte_is_read(dataset: Dataset) -> None:
    dataset.rewrite(FILE, with_column("text", first_is("something else")))
    assert dataset.verify().outcome is Outcome.COMPLETE
    assert (FaultKind.FILE_DAMAGED, FILE) in found(dataset.verify(Depth.CONTENT))


def test_an_empty_text_that_is_not_counted_is_found_when_texts_are_read(dataset: Dataset) -> None:
    dataset.edit(layout.manifest(1), lambda it: it["prompts"]["faq"].__setitem__("empty", 1))
    faults = dataset.verify(Depth.CONTENT).faults
    assert any("empty: its rows have 0, and the manifest says 1" in fault.what for fault in faults)


def test_two_swapped_files_are_found_in_both_places(dataset: Dataset) -> None:
    one, other = dataset.root / FILE, dataset.root / "faq" / "shard-00000.parquet"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    faults = found(dataset.verify())
    for path in (FILE, "faq/shard-00000.parquet"):
        assert (FaultKind.ROWS_FOREIGN, path) in faults
        assert (FaultKind.ROWS_MISSING, path) in faults


def test_a_file_of_another_prompt_is_found(dataset: Dataset) -> None:
    (dataset.root / FILE).write_bytes((dataset.root / "math" / "shard-00001.parquet").read_bytes())
    assert (FaultKind.VALUES, FILE) in found(dataset.verify())
    assert (FaultKind.VALUES, FILE) in found(dataset.verify(Depth.QUICK))


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_a_file_that_was_cut_off_is_found(dataset: Dataset, depth: Depth, cut: int) -> None:
    content = (dataset.root / FILE).read_bytes()
    (dataset.root / FILE).write_bytes(content[:cut])
    (fault,) = dataset.verify(depth).faults
    assert (fault.kind, fault.where) == (FaultKind.FILE_DAMAGED, FILE)


def test_a_flipped_byte_is_found_when_every_byte_is_read(dataset: Dataset) -> None:
    content = bytearray((dataset.root / FILE).read_bytes())
    content[200] ^= 0xFF
    (dataset.root / FILE).write_bytes(content)
    assert FILE in {fault.where for fault in dataset.verify(Depth.CONTENT).faults}


@pytest.mark.parametrize("depth", Depth)
def test_a_file_that_is_gone_is_found(dataset: Dataset, depth: Depth) -> None:
    (dataset.root / FILE).unlink()
    assert found(dataset.verify(depth)) == [(FaultKind.FILE_MISSING, FILE)]


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize(
    "path", ["faq/extra.parquet", "math/shard-00004.parquet", "_rephrase/manifests/shard-00004.json"]
)
def test_a_foreign_file_is_found(dataset: Dataset, depth: Depth, path: str) -> None:
    (dataset.root / path).write_bytes(b"-")
    assert found(dataset.verify(depth)) == [(FaultKind.FILE_FOREIGN, path)]


@pytest.mark.parametrize("depth", Depth)
def test_a_folder_among_the_files_is_foreign(dataset: Dataset, depth: Depth) -> None:
    """Readers that take a folder as a whole, pandas for one, read what is in it too."""
    (dataset.root / "faq" / "more").mkdir()
    assert found(dataset.verify(depth)) == [(FaultKind.FILE_FOREIGN, "faq/more")]


def test_a_checksum_that_is_gone_is_found(dataset: Dataset) -> None:
    dataset.edit(layout.manifest(1), lambda it: it["checksums"].pop("faq"))
    assert found(dataset.verify(Depth.CONTENT)) == [(FaultKind.FILE_DAMAGED, FILE)]


def test_a_manifest_that_is_gone_is_found(dataset: Dataset) -> None:
    (dataset.root / layout.manifest(2)).unlink()
    result = dataset.verify()
    assert found(result) == [(FaultKind.MANIFEST, layout.manifest(2))]
    assert "account.json counts the shard" in result.faults[0].what


@pytest.mark.parametrize("path", [layout.manifest(2), layout.shard_plan(2), layout.ACCOUNT])
@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"schemaVersion": 99}', b'{"shard": "x"}'])
def test_bookkeeping_that_is_damaged_is_named(dataset: Dataset, path: str, content: bytes) -> None:
    (dataset.root / path).write_bytes(content)
    result = dataset.verify()
    assert result.outcome is Outcome.FAULTY
    assert path in {fault.where for fault in result.faults}


@pytest.mark.parametrize("path", [layout.PLAN, layout.RECIPE, layout.SOURCE_LISTING])
@pytest.mark.parametrize("content", [None, b"{", b'{"schemaVersion": 99}'])
def test_a_plan_that_is_damaged_or_gone_is_a_fault(
    dataset: Dataset, path: str, content: bytes | None
) -> None:
    (dataset.root / path).unlink()
    if content is not None:
        (dataset.root / path).write_bytes(content)
    (fault,) = dataset.verify().faults
    assert fault.kind is FaultKind.PLAN
    assert path in fault.what


def range_of(shard: int, **change: int) -> tuple[str, Callable[[dict[str, Any]], object]]:
    return layout.shard_plan(shard), lambda it: it["ranges"][0].update(change)


URL = {"name": "url", "source": "url", "type": "string", "arrow": "bm90aGluZw=="}

BOOKS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "a range begins later": (*range_of(1, start=6), layout.shard_plan(1)),
    "a range ends earlier": (*range_of(1, end=9), layout.shard_plan(1)),
    "a range ends later": (*range_of(0, end=6), layout.shard_plan(0)),
    "a range of bytes ends earlier": (*range_of(3, end=60), layout.PLAN),
    "a range is gone": (layout.shard_plan(2), lambda it: it["ranges"].pop(0), layout.PLAN),
    "a shard is another": (layout.shard_plan(1), lambda it: it.update(shard=2), layout.shard_plan(1)),
    "a shard has another root": (
        layout.shard_plan(1),
        lambda it: it.update(root="/else"),
        layout.shard_plan(1),
    ),
    "a file has another size": (
        layout.shard_plan(1),
        lambda it: it["ranges"][0]["file"].update(size=1),
        layout.shard_plan(1),
    ),
    "a shard has fewer documents": (
        layout.shard_plan(1),
        lambda it: it.update(documents=4),
        layout.shard_plan(1),
    ),
    "the plan has more documents": (layout.PLAN, lambda it: it.update(documents=21), layout.PLAN),
    "the plan has more shards": (layout.PLAN, lambda it: it.update(shards=5), layout.shard_plan(4)),
    "the plan has fewer shards": (layout.PLAN, lambda it: it.update(shards=3), layout.PLAN),
    "the plan has more files": (layout.PLAN, lambda it: it.update(files=3), layout.PLAN),
    "a shard carries another column": (
        layout.shard_plan(1),
        lambda it: it.update(columns=[URL]),
        layout.shard_plan(1),
    ),
    "the plan carries another column": (
        layout.PLAN,
        lambda it: it.update(columns=[URL]),
        layout.PLAN,
    ),
    "the plan has another model": (
        layout.PLAN,
        lambda it: it.update(modelRevision="other"),
        layout.PLAN,
    ),
    "the listing has a file more": (
        layout.SOURCE_LISTING,
        lambda it: it["files"].append({**it["files"][0], "path": "c.parquet"}),
        layout.PLAN,
    ),
    "the recipe has another prompt text": (
        layout.RECIPE,
        lambda it: it["prompts"][0].update(template="x {{document}}"),
        layout.RECIPE,
    ),
    "the recipe has another rollout": (
        layout.RECIPE,
        lambda it: it["sampling"].update(rollouts=1),
        layout.RECIPE,
    ),
    "a manifest is another recipe's": (
        layout.manifest(1),
        lambda it: it.update(recipeHash="0" * 16),
        layout.manifest(1),
    ),
    "a manifest is another shard's": (
        layout.manifest(1),
        lambda it: it.update(shard=2),
        layout.manifest(1),
    ),
    "a manifest has fewer documents": (
        layout.manifest(1),
        lambda it: it.update(documents=4),
        layout.manifest(1),
    ),
    "a manifest has more tokens": (
        layout.manifest(1),
        lambda it: it["prompts"]["faq"].update(outputTokens=41),
        "faq/shard-00001.parquet",
    ),
    "a manifest has no prompt": (
        layout.manifest(1),
        lambda it: it["prompts"].pop("faq"),
        layout.manifest(1),
    ),
    "a manifest has a text for an error": (
        layout.manifest(1),
        lambda it: it["prompts"]["faq"].update(text=9, error=1),
        "faq/shard-00001.parquet",
    ),
    "the account has more tokens": (
        layout.ACCOUNT,
        lambda it: it["prompts"]["faq"].update(outputTokens=161),
        layout.ACCOUNT,
    ),
    "the account has more documents": (
        layout.ACCOUNT,
        lambda it: it.update(documents=21),
        layout.ACCOUNT,
    ),
    "the account has no prompt": (layout.ACCOUNT, lambda it: it["prompts"].pop("math"), layout.ACCOUNT),
    "the account calls a shard missing": (
        layout.ACCOUNT,
        lambda it: it.update(missingShards=1, missingShardNumbers="2"),
        layout.ACCOUNT,
    ),
    "the account's missing shards are no intervals": (
        layout.ACCOUNT,
        lambda it: it.update(missingShardNumbers="two"),
        layout.ACCOUNT,
    ),
}


@pytest.mark.parametrize("name", BOOKS)
def test_a_change_of_the_books_is_found_and_named(dataset: Dataset, name: str) -> None:
    path, change, where = BOOKS[name]
    dataset.edit(path, change)
    result = dataset.verify()
    assert result.outcome is Outcome.FAULTY
    assert where in {fault.where for fault in result.faults}
    assert all(fault.what and fault.remedy for fault in result.faults)


OTHER: dict[str, Callable[[Any], Any]] = {
    "source_file": lambda value: f"{value}x",
    "source_position": lambda value: value + 1,
    "rollout": lambda value: 1 - value,
    "error": lambda value: None if value else "engine_error: no",
    "finish_reason": lambda value: None if value else "stop",
    "prompt_tokens": lambda value: value + 1,
    "cached_prompt_tokens": lambda value: value + 1,
    "output_tokens": lambda value: value - 1,
    "truncated": lambda value: not value,
    "prompt": lambda value: f"{value}x",
    "prompt_hash": lambda value: f"{value}x",
    "model": lambda value: f"{value}x",
    "revision": lambda value: "main",
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(sorted(OTHER)),
    row=st.integers(0, 9),
    prompt=st.sampled_from(["faq", "math"]),
)
def test_any_other_value_in_any_row_is_found(dataset: Dataset, column: str, row: int, prompt: str) -> None:
    path = f"{prompt}/shard-00001.parquet"
    before = (dataset.root / path).read_bytes()
    books = [layout.manifest(1), layout.ACCOUNT]
    kept = [dataset.store.read(each) for each in books]

    def changed(values: list[Any]) -> list[Any]:
        return [*values[:row], OTHER[column](values[row]), *values[row + 1 :]]

    dataset.rewrite(path, with_column(column, changed))
    try:
        faults = dataset.verify().faults
        assert path in {fault.where for fault in faults}
    finally:
        (dataset.root / path).write_bytes(before)
        for each, content in zip(books, kept, strict=True):
            dataset.store.replace(each, content)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_file_is_found(dataset: Dataset, data: st.DataObject) -> None:
    path = dataset.root / FILE
    before = path.read_bytes()
    content = bytearray(before)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        assert FILE in {fault.where for fault in dataset.verify(Depth.CONTENT).faults}
    finally:
        path.write_bytes(before)


def test_rows_and_manifest_that_lost_a_line_together_are_found_against_the_source(dataset: Dataset) -> None:
    """The plan does not say where the lines of a text file are: only the source does."""
    last = SHARDS - 1
    for prompt in ("faq", "math"):
        dataset.rewrite(f"{prompt}/shard-0000{last}.parquet", lambda table: table.slice(2))

    def forget(it: dict[str, Any]) -> None:
        it["documents"] -= 1
        for account in it["prompts"].values():
            account["text"] -= 2
            for name, tokens in (("promptTokens", 20), ("cachedPromptTokens", 8), ("outputTokens", 10)):
                account[name] -= tokens
            account["finishReasons"]["stop"] -= 2

    manifest = read_manifest(dataset.store, layout.manifest(last))
    dataset.edit(layout.manifest(last), forget)
    result = dataset.verify(source=True)
    assert manifest.documents == read_manifest(dataset.store, layout.manifest(last)).documents + 1
    assert FaultKind.SOURCE in {fault.kind for fault in result.faults}


def test_a_source_that_has_changed_can_not_be_compared(dataset: Dataset, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "b.jsonl", ["other"])
    with pytest.raises(WorkerError, match="has changed since the job was planned"):
        dataset.verify(source=True)


@pytest.mark.parametrize("limit", [1, 3, 5, 12, 13, 15])
def test_a_source_that_was_cut_short_is_complete(tmp_path: Path, limit: int) -> None:
    dataset = Dataset(tmp_path, max_documents=limit)
    result = dataset.verify(source=True)
    assert (result.outcome, result.documents, result.faults) == (Outcome.COMPLETE, limit, [])


def test_a_failed_shard_is_missing_and_no_fault(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in (0, 2):
        run_shard(recipe, shard)
    running = verify(recipe.output.uri)
    assert (running.outcome, running.finalized) == (Outcome.INCOMPLETE, False)
    finalize(recipe)
    result = verify(recipe.output.uri)
    assert (result.outcome, result.missing_shards, result.faults) == (Outcome.INCOMPLETE, "1,3", [])
    assert result.planned == 80 == result.text + result.error + result.missing


def test_a_folder_without_a_dataset_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"holds no dataset.*spec\.output\.uri"):
        verify(str(tmp_path))


def test_a_copy_in_another_folder_is_verified_as_it_is(dataset: Dataset, tmp_path: Path) -> None:
    dataset.root.rename(tmp_path / "downloaded")
    (tmp_path / "downloaded" / ".gitattributes").write_text("")
    (tmp_path / "downloaded" / ".cache").mkdir()
    assert verify(str(tmp_path / "downloaded")).outcome is Outcome.COMPLETE


def test_faults_beyond_the_limit_are_counted(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rephrase_worker.verify.recount.FAULTS_KEPT", 2)
    for file in (dataset.root / "faq").iterdir():
        file.unlink()
    result = dataset.verify()
    assert (len(result.faults), result.fault_count) == (2, 4)


def test_progress_is_told_after_each_shard(dataset: Dataset) -> None:
    (dataset.root / FILE).unlink()
    told: list[tuple[int, int, int, int]] = []
    dataset.verify(on_progress=lambda now: told.append((now.shards, now.done, now.rows, now.faults)))
    assert told == [(4, 1, 20, 0), (4, 2, 30, 1), (4, 3, 54, 1), (4, 4, 70, 1)]


# The mix.


@pytest.fixture
def mix(tmp_path: Path) -> Recipe:
    recipe = ordered(tmp_path, shards=3)
    mixed(recipe, finished(recipe))
    return recipe


@pytest.mark.parametrize("depth", Depth)
def test_a_whole_mix_is_complete(mix: Recipe, depth: Depth) -> None:
    result = verify(mix.output.uri, depth=depth)
    assert (result.outcome, result.faults) == (Outcome.COMPLETE, [])
    assert result.mix_shards == result.mix_shards_finished > 1
    assert result.mix_rows == len(rows_of(mix))


MIXED: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "a row is gone": (without_row, "rows, and its manifest"),
    "a row is there twice": (with_row_twice, "1 rows are there again"),
    "a row took the place of another": (with_row_doubled_over_another, "1 rows are there again"),
    "a token count is another": (with_column("tokens", first_is(10_000)), "tokens, and its manifest"),
    "a kind is another": (
        lambda table: with_column(
            "kind", lambda kinds: ["synthetic" if kind == "original" else "original" for kind in kinds]
        )(table),
        "contradicts their prompt",
    ),
    "a column is gone": (lambda table: table.drop(["id"]), "its columns are not those of a mix"),
    "a key column is gone": (lambda table: table.drop(["rollout"]), "no column rollout"),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_change_of_the_mix_is_found_and_named(mix: Recipe, name: str) -> None:
    change, words = MIXED[name]
    path = Path(mix.output.uri) / "mix" / "shard-00000.parquet"
    pq.write_table(change(pq.read_table(path)), path, compression="zstd")
    faults = verify(mix.output.uri).faults
    assert any(words in fault.what and fault.where == "mix/shard-00000.parquet" for fault in faults)


def test_files_and_accounts_of_the_mix_that_are_gone_or_foreign_are_found(mix: Recipe) -> None:
    root = Path(mix.output.uri)
    (root / "mix" / "extra.parquet").write_bytes(b"-")
    (root / "mix" / "shard-00000.parquet").unlink()
    (root / "mix" / "shard-00001.parquet").write_bytes(b"PAR1")
    (root / layout.MIX_ACCOUNT).unlink()
    assert found(verify(mix.output.uri)) == [
        (FaultKind.FILE_FOREIGN, "mix/extra.parquet"),
        (FaultKind.FILE_MISSING, "mix/shard-00000.parquet"),
        (FaultKind.FILE_DAMAGED, "mix/shard-00001.parquet"),
        (FaultKind.ACCOUNT, layout.MIX_ACCOUNT),
    ]


def test_an_account_of_the_mix_that_was_changed_is_found(mix: Recipe) -> None:
    path = Path(mix.output.uri) / layout.MIX_ACCOUNT
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokens": 1}))
    (fault,) = verify(mix.output.uri).faults
    assert (fault.kind, fault.where) == (FaultKind.ACCOUNT, layout.MIX_ACCOUNT)
    assert fault.what.startswith("tokens is 1, and the manifests add up to ")


def test_a_mix_that_is_not_finished_is_incomplete(mix: Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(mix.output.uri) / layout.mix_manifest(1)).unlink()
    code, out, _ = run(capsys, mix.output.uri)
    assert code == 3
    assert "1 shards of the mix are missing. What is there is right." in out


# The command.


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["verify", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command_says_that_nothing_is_lost(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, str(dataset.root))
    assert code == 0
    assert "is complete: nothing lost, nothing doubled." in out
    assert "80 planned = 64 texts + 16 errors + 0 missing; 4 of 4 shards, 80 rows in 8 files" in out


def test_the_command_names_a_fault_and_its_remedy(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset.root / FILE).unlink()
    code, out, _ = run(capsys, str(dataset.root), "--quick")
    assert code == 1
    assert f"{FILE}: it is not there, though its shard has a manifest. [file-missing]" in out
    assert "Copy the files of shard 1 again" in out


def test_the_command_has_a_code_of_its_own_for_what_is_incomplete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = planned(tmp_path)
    run_shard(recipe, 0)
    code, out, _ = run(capsys, str(tmp_path / "out"))
    assert code == 3
    assert "shards 1-3 are missing and the job is not finalized. What is there is right." in out


@pytest.mark.parametrize("arguments", [["--quick", "--source"], ["--threads", "0"], ["--quick", "--content"]])
def test_a_wrong_option_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(capsys, str(tmp_path), *arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("uri", ["nowhere", "ftp-like://x", "s3://"])
def test_a_place_that_can_not_be_read_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    code, out, err = run(capsys, uri if "://" in uri else str(tmp_path / uri))
    assert (code, out) == (2, "")
    assert err.startswith("rephrase verify: ")


def test_the_result_as_json_holds_every_fault(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.rewrite(FILE, without_row)
    code, out, _ = run(capsys, str(dataset.root), "--json")
    assert code == 1
    result = json.loads(out)
    assert result["outcome"] == "faulty"
    assert {fault["kind"] for fault in result["faults"]} >= {"rows-missing", "counts"}
    assert Verification.model_validate(result).fault_count == len(result["faults"])
