"""Prompts that drop outputs without their structure: what is left out is recorded and counted."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rephrase_operator import cli
from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_account, read_manifest, read_quality
from rephrase_worker.filtered import Filtered, from_metadata, to_metadata
from rephrase_worker.finalizer import finalize
from rephrase_worker.generate.shard import final_report
from rephrase_worker.planner import planner
from rephrase_worker.quality.report import QualityReport
from rephrase_worker.quality.state import encode
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.samples import Key, Sample
from rephrase_worker.sink import ShardSink, merge
from rephrase_worker.spec import Output, Prompt, Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.verify import Depth, FaultKind, Outcome, verify
from tests.worker.builders import (
    final_rows,
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_jsonl,
    write_parquet,
)
from tests.worker.faulty_store import FaultyStore, KilledError
from tests.worker.mix_builders import mixed, ordered, rows_of

LIST = "- Yeast lifts the dough.\n- Bacteria make acid."
PROSE = "Yeast lifts the dough."
FILE = "faq/shard-00000.parquet"


class Shard:
    """A planned job of one shard. `faq` drops what is no list, `math` keeps it."""

    def __init__(self, folder: Path, output: str | None = None, *, drops: bool = True) -> None:
        write_parquet(folder / "in" / "b.parquet", ["text", None, "more text", "a", "b"])
        write_jsonl(folder / "in" / "a.jsonl", ["ä", 3, "c"])
        plain = make_recipe(folder / "in", output or str(folder / "out"), prompts=("faq", "math"), rollouts=2)
        faq, math = plain.prompts
        faq = faq.model_copy(update={"structure": "list", "unstructured": "Drop" if drops else "Keep"})
        self.recipe: Recipe = plain.model_copy(
            update={"prompts": [faq, math.model_copy(update={"structure": "list"})]}
        )
        planner.plan(self.recipe)
        (self.plan,) = shard_plans(self.recipe)
        documents = read_documents(self.recipe, self.plan)
        self.positions = positions(documents)
        self.samples = [
            dataclasses.replace(sample, text=(LIST, PROSE, " ")[number % 3]) if sample.text else sample
            for number, sample in enumerate(samples_of(self.recipe, documents))
        ]
        self.store = Store(self.recipe.output.uri)

    def sink(self, uid: str = "pod", store: Store | None = None) -> ShardSink:
        return ShardSink(store or self.store, self.recipe, self.plan, uid)

    def finished(self) -> Shard:
        self.sink().commit(self.samples)
        self.sink().finish(self.positions)
        finalize(self.recipe)
        return self

    def metadata(self) -> dict[bytes, bytes]:
        return dict(pq.read_metadata(pa.BufferReader(self.store.read(FILE))).metadata)

    def left_out(self) -> set[tuple[str, int, int]]:
        found = from_metadata(self.metadata())
        assert found is not None
        files = list(dict.fromkeys(range_.file.path for range_ in self.plan.ranges))
        return {(files[file], position, rollout) for file, position, rollout in found.keys.tolist()}


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


def place(sample: Sample) -> tuple[str, int, int]:
    return sample.source_file, sample.source_position, sample.rollout


def test_outputs_without_the_structure_are_left_out_and_recorded(shard: Shard) -> None:
    shard.finished()
    mine = [sample for sample in shard.samples if sample.prompt == "faq"]
    dropped = [sample for sample in mine if sample.text is not None and sample.text != LIST]
    rows = final_rows(shard.recipe, 0, "faq")
    assert {(r["source_file"], r["source_position"], r["rollout"]) for r in rows} == {
        place(sample) for sample in mine if sample not in dropped
    }
    assert shard.left_out() == {place(sample) for sample in dropped}
    assert {row["text"] for row in rows} == {LIST, None}
    faq, math = (read_manifest(shard.store, layout.manifest(0)).prompts[name] for name in ("faq", "math"))
    assert 0 < len(dropped) == faq.filtered
    assert (faq.text + faq.error, faq.filtered_output_tokens) == (len(rows), 5 * len(dropped))
    assert (math.text, math.filtered) == (faq.text + faq.filtered, 0)


def test_what_has_the_structure_is_the_same_file_but_for_what_it_says(tmp_path: Path) -> None:
    keeps, drops = (Shard(tmp_path / str(drop), drops=drop).finished() for drop in (False, True))
    kept = [row for row in final_rows(keeps.recipe, 0, "faq") if row["text"] in (LIST, None)]
    assert final_rows(drops.recipe, 0, "faq") == kept
    assert from_metadata(keeps.metadata()) is None
    assert keeps.recipe.hash != drops.recipe.hash


@settings(max_examples=40)
@given(data=st.data())
def test_however_segments_overlap_each_key_is_a_row_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shard = Shard(tmp_path_factory.mktemp("drop"))
    parts = data.draw(st.lists(st.lists(st.sampled_from(shard.samples), min_size=1), max_size=10))
    texts = st.sampled_from([LIST, PROSE, ""])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "ROW_GROUP_ROWS", data.draw(st.integers(1, 9)))
        for number, samples in enumerate([*parts, shard.samples]):
            shard.sink(f"{number}").commit(
                [dataclasses.replace(each, text=data.draw(texts)) if each.text else each for each in samples]
            )
        manifest = shard.sink().finish(shard.positions)
    first: dict[Key, str | None] = {}
    for path in shard.store.list(layout.segments_dir(0)):
        for row in pq.read_table(pa.BufferReader(shard.store.read(path))).to_pylist():
            key = Key(row["source_file"], row["source_position"], row["prompt"], row["rollout"])
            first.setdefault(key, row["text"])
    rows = final_rows(shard.recipe, 0, "faq")
    found = [(row["source_file"], row["source_position"], row["rollout"]) for row in rows]
    every = list(itertools.product(shard.positions, (0, 1)))
    stays = {
        (*position, rollout): first[Key(*position, "faq", rollout)] in (LIST, None)
        for position, rollout in every
    }
    assert found == [key for key, stay in stays.items() if stay]
    assert shard.left_out() == {key for key, stay in stays.items() if not stay}
    faq = manifest.prompts["faq"]
    assert (faq.text + faq.error, faq.filtered) == (len(found), len(every) - len(found))


def test_a_shard_ends_the_same_wherever_its_workers_were_killed(tmp_path: Path) -> None:
    wanted = Shard(tmp_path / "a", f"memory://{uuid.uuid4().hex}/out").finished()
    survived = False
    for at in itertools.count(1):
        for after in (False, True):
            shard = Shard(tmp_path / f"{at}{after}", f"memory://{uuid.uuid4().hex}/out")
            store = FaultyStore(shard.recipe.output.uri, at=at, after=after)
            with suppress(KilledError):
                sink = shard.sink("first", store)
                sink.commit(shard.samples[:11])
                sink.commit(shard.samples[7:])
                sink.finish(shard.positions)
                survived = True
            committed = shard.sink("second").resume().keys
            shard.sink("second").commit([each for each in shard.samples if each.key not in committed])
            shard.sink("second").finish(shard.positions)
            finalize(shard.recipe)
            assert shard.left_out() == wanted.left_out()
            assert final_rows(shard.recipe, 0, "faq") == final_rows(wanted.recipe, 0, "faq")
            assert verify(shard.recipe.output.uri).outcome is Outcome.COMPLETE
        if survived:
            return


def test_the_account_of_the_job_proves_them(shard: Shard) -> None:
    report = finalize(shard.finished().recipe)
    account = read_account(shard.store)
    for totals in account.prompts.values():
        assert totals.planned == 16 == totals.text + totals.error + totals.filtered
    dropped = account.prompts["faq"].filtered
    assert dropped > 0
    assert (report.samples_filtered, report.filtered_output_tokens) == (dropped, 5 * dropped)
    assert report.samples_text + report.samples_error + dropped == 32
    for path in (layout.CARD, layout.REPORT):
        assert "Left out" in shard.store.read(path).decode()


def test_only_a_dataset_that_leaves_something_out_shows_a_column_for_it(tmp_path: Path) -> None:
    shard = Shard(tmp_path, drops=False).finished()
    for path in (layout.CARD, layout.REPORT):
        assert "eft out" not in shard.store.read(path).decode()


def test_the_structure_rate_is_that_of_all_outputs(shard: Shard) -> None:
    shard.finished()
    faq = read_manifest(shard.store, layout.manifest(0)).prompts["faq"]
    found = QualityReport.model_validate_json(shard.store.read(layout.QUALITY)).prompts["faq"]
    assert (found.samples, found.structured) == (faq.text, faq.text)
    assert found.structure_judged == faq.text + faq.filtered


def test_the_report_of_a_shard_that_is_done_counts_what_the_model_has_made(shard: Shard) -> None:
    manifest = read_manifest(shard.finished().store, layout.manifest(0))
    report = final_report(manifest, ShardProgress(shard=0, pod_uid="pod", now=lambda: 0.0))
    assert report.samples_text + report.samples_error == 32
    assert report.output_tokens == 5 * report.samples_text


def test_a_prompt_of_which_nothing_has_the_structure_is_an_empty_dataset(shard: Shard) -> None:
    shard.samples = [
        dataclasses.replace(each, error=None, text=PROSE, finish_reason="stop") for each in shard.samples
    ]
    shard.finished()
    assert final_rows(shard.recipe, 0, "faq") == []
    for depth in Depth:
        result = verify(shard.recipe.output.uri, depth=depth)
        assert (result.outcome, result.faults) == (Outcome.COMPLETE, [])
        assert (result.planned, result.text, result.filtered) == (32, 16, 16)


@pytest.mark.parametrize("depth", Depth)
def test_a_dataset_that_leaves_outputs_out_is_complete(
    shard: Shard, depth: Depth, capsys: pytest.CaptureFixture[str]
) -> None:
    result = verify(shard.finished().recipe.output.uri, depth=depth)
    assert (result.outcome, result.faults) == (Outcome.COMPLETE, [])
    assert result.planned == result.text + result.error + result.filtered
    assert cli.main(["verify", shard.recipe.output.uri]) == 0
    assert f" + {result.filtered} left out + 0 missing" in " ".join(capsys.readouterr().out.split())


def respell(shard: Shard, change: Callable[[pa.Table, Filtered], tuple[pa.Table, Filtered | None]]) -> None:
    """Changes rows and record of the file, and the sizes in the books, which would give it away."""
    path = Path(shard.recipe.output.uri) / FILE
    record = from_metadata(shard.metadata())
    assert record is not None
    table, changed = change(pq.read_table(path), record)
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        if changed is not None:
            writer.add_key_value_metadata(to_metadata(changed))
    size = path.stat().st_size
    for book in (layout.manifest(0), layout.ACCOUNT):
        content = json.loads(shard.store.read(book))
        content["prompts"]["faq"]["bytes"] = size
        shard.store.replace(book, json.dumps(content).encode())


def without_metadata(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)


ATTACKS: dict[str, tuple[Callable[[pa.Table, Filtered], tuple[pa.Table, Filtered | None]], FaultKind]] = {
    "a row is dropped that is not recorded": (
        lambda rows, left: (rows.slice(1), left),
        FaultKind.ROWS_MISSING,
    ),
    "a key is gone from the record": (
        lambda rows, left: (rows, Filtered(left.keys[1:], left.output_tokens)),
        FaultKind.ROWS_MISSING,
    ),
    "a key is recorded twice": (
        lambda rows, left: (rows, Filtered(left.keys[[0, *range(len(left.keys))]], left.output_tokens)),
        FaultKind.ROWS_REPEATED,
    ),
    "another key is recorded": (
        lambda rows, left: (rows, Filtered(left.keys + np.array([0, 0, 7]), left.output_tokens)),
        FaultKind.ROWS_FOREIGN,
    ),
    "tokens are others": (
        lambda rows, left: (rows, Filtered(left.keys, left.output_tokens + 1)),
        FaultKind.COUNTS,
    ),
    "there is no record": (lambda rows, left: (rows, None), FaultKind.VALUES),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_file_that_leaves_out_something_else_is_found(shard: Shard, name: str) -> None:
    change, kind = ATTACKS[name]
    respell(shard.finished(), lambda rows, left: change(without_metadata(rows), left))
    result = verify(shard.recipe.output.uri)
    assert result.outcome is Outcome.FAULTY
    assert (kind, FILE) in {(fault.kind, fault.where) for fault in result.faults}


def test_a_row_that_is_there_and_recorded_is_there_again(shard: Shard) -> None:
    shard.finished()

    def row_again(rows: pa.Table, left: Filtered) -> tuple[pa.Table, Filtered]:
        files = list(dict.fromkeys(range_.file.path for range_ in shard.plan.ranges))
        first = rows.slice(0, 1).to_pylist()[0]
        key = [files.index(first["source_file"]), first["source_position"], first["rollout"]]
        return without_metadata(rows), Filtered(np.concatenate((left.keys, [key])), left.output_tokens)

    respell(shard, row_again)
    assert (FaultKind.ROWS_REPEATED, FILE) in {
        (fault.kind, fault.where) for fault in verify(shard.recipe.output.uri).faults
    }


@pytest.mark.parametrize("depth", [Depth.QUICK, Depth.ROWS])
def test_a_count_that_was_changed_is_found(shard: Shard, depth: Depth) -> None:
    content = json.loads(shard.finished().store.read(layout.manifest(0)))
    content["prompts"]["faq"]["filtered"] -= 1
    shard.store.replace(layout.manifest(0), json.dumps(content).encode())
    kinds = {fault.kind for fault in verify(shard.recipe.output.uri, depth=depth).faults}
    assert kinds >= {FaultKind.MANIFEST, FaultKind.COUNTS, FaultKind.ACCOUNT}
    with pytest.raises(WorkerError) as raised:
        finalize(shard.recipe)
    assert raised.value.failure.reason is Reason.ACCOUNT_MISMATCH


def test_a_prompt_that_keeps_everything_leaves_nothing_out(shard: Shard) -> None:
    content = json.loads(shard.finished().store.read(layout.manifest(0)))
    content["prompts"]["math"]["text"] -= 1
    content["prompts"]["math"]["filtered"] += 1
    shard.store.replace(layout.manifest(0), json.dumps(content).encode())
    with pytest.raises(WorkerError, match="which keeps all of them"):
        finalize(shard.recipe)


def test_quality_that_does_not_judge_what_was_left_out_is_refused(shard: Shard) -> None:
    shard.finished()
    counted = read_quality(shard.store, 0)
    assert counted is not None
    faq = dataclasses.replace(counted.prompts["faq"], structure_judged=counted.prompts["faq"].samples)
    changed = counted.model_copy(update={"prompts": counted.prompts | {"faq": faq}})
    shard.store.replace(layout.shard_quality(0), encode(changed))
    with pytest.raises(WorkerError, match="is not about the texts of that shard"):
        finalize(shard.recipe)


def test_a_final_file_of_a_shard_that_is_not_finished_is_believed_only_if_it_proves_itself(
    shard: Shard,
) -> None:
    shard.finished()
    shard.store.remove(layout.manifest(0))
    manifest = shard.sink().finish(shard.positions)
    assert manifest.prompts["faq"].filtered == len(shard.left_out())
    respell(shard, lambda rows, left: (without_metadata(rows).slice(1), left))
    shard.store.remove(layout.manifest(0))
    with pytest.raises(WorkerError, match="1 keys missing, 0 too many"):
        shard.sink().finish(shard.positions)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(*(st.integers(-(2**63), 2**63 - 1) for _ in range(3))), max_size=20),
    st.integers(0, 2**60),
)
def test_a_record_is_read_as_it_was_written(keys: list[tuple[int, int, int]], tokens: int) -> None:
    given_keys = np.array(keys, dtype=np.int64).reshape(-1, 3)
    found = from_metadata(
        {name.encode(): value.encode() for name, value in to_metadata(Filtered(given_keys, tokens)).items()}
    )
    assert found is not None
    assert (found.keys.tolist(), found.output_tokens) == (given_keys.tolist(), tokens)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no json",
        b'{"count": 1, "outputTokens": 0, "keys": "AAAA"}',
        b'{"count": -1, "outputTokens": 0, "keys": ""}',
        json.dumps(
            json.loads(to_metadata(Filtered(np.zeros((2, 3), dtype=np.int64)))["rephrase_filtered"])
            | {"count": 3}
        ).encode(),
        b'{"count": 0, "outputTokens": 0, "keys": "' + base64.b64encode(b"no zstd") + b'"}',
    ],
)
def test_a_damaged_record_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_metadata({b"rephrase_filtered": value})


def test_dropping_needs_a_structure() -> None:
    with pytest.raises(ValidationError, match="prompt own drops outputs without the structure"):
        Prompt(name="own", template="{{document}}", unstructured="Drop")


def test_keeping_changes_no_hash(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "in", tmp_path / "out")
    said = recipe.prompts[0].model_copy(update={"unstructured": "Keep"})
    assert recipe.model_copy(update={"prompts": [said]}).hash == recipe.hash


def test_a_mix_takes_what_is_kept_and_counts_what_is_not(tmp_path: Path) -> None:
    recipe = ordered(tmp_path, share={"faq": 0.5})
    prompts = [
        prompt.model_copy(update={"structure": "list", "unstructured": "Drop"})
        if prompt.name == "faq"
        else prompt
        for prompt in recipe.prompts
    ]
    recipe = recipe.model_copy(update={"prompts": prompts, "output": Output(uri=str(tmp_path / "dropped"))})
    planner.plan(recipe)
    store = Store(recipe.output.uri)
    for plan in shard_plans(recipe):
        documents = read_documents(recipe, plan)
        sink = ShardSink(store, recipe, plan, "pod")
        sink.commit(
            [
                dataclasses.replace(each, text=(LIST, PROSE)[number % 4 // 2]) if each.text else each
                for number, each in enumerate(samples_of(recipe, documents))
            ]
        )
        sink.finish(positions(documents))
    shards = finalize(recipe).mix_shards
    account = mixed(recipe, shards)
    faq = account.prompts["faq"]
    assert faq.filtered > 0
    assert faq.planned == faq.used + faq.error + faq.empty + faq.unused + faq.filtered + faq.missing == 40
    assert {row["text"] for row in rows_of(recipe) if row["prompt"] == "faq"} == {LIST}
    result = verify(recipe.output.uri, depth=Depth.CONTENT)
    assert (result.outcome, result.faults) == (Outcome.COMPLETE, [])
