from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_plan
from rephrase_worker.finalizer import finalize, finalizer
from rephrase_worker.finalizer.card import card
from rephrase_worker.finalizer.report import report
from rephrase_worker.manifests import Account, Manifest, PromptAccount
from rephrase_worker.planner import planner
from rephrase_worker.report.termination import fit
from rephrase_worker.sink import ShardSink
from rephrase_worker.source import inspection
from rephrase_worker.spec import Reason, Recipe, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import (
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_jsonl,
    write_parquet,
)


def run_shard(recipe: Recipe, number: int, *, finish: bool = True) -> None:
    store = Store(recipe.output.uri)
    shard = shard_plans(recipe)[number]
    documents = read_documents(recipe, shard)
    sink = ShardSink(store, recipe, shard, "pod")
    sink.commit(samples_of(recipe, documents))
    if finish:
        sink.finish(positions(documents))


def planned(folder: Path, *, per_shard: int = 5) -> Recipe:
    """A job of 20 documents, 4 of them in error, cut into unequal shards."""
    write_parquet(folder / "in" / "a.parquet", [f"text {n}" if n % 4 else None for n in range(12)])
    write_jsonl(folder / "in" / "b.jsonl", [f"line {n}" if n else 17 for n in range(8)])
    recipe = make_recipe(
        folder / "in", folder / "out", prompts=("faq", "math"), rollouts=2, documents_per_shard=per_shard
    )
    planner.plan(recipe)
    return recipe


def account_of(recipe: Recipe) -> Account:
    return Account.model_validate_json(Store(recipe.output.uri).read(layout.ACCOUNT))


def derived(recipe: Recipe) -> dict[str, bytes]:
    store = Store(recipe.output.uri)
    return {path: store.read(path) for path in (layout.ACCOUNT, layout.QUALITY, layout.REPORT, layout.CARD)}


def files_in(folder: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def test_a_finished_job_is_accounted_for_to_the_last_sample(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in range(4):
        run_shard(recipe, shard)
    report = finalize(recipe)
    assert (report.documents, report.samples_text, report.samples_error) == (20, 64, 16)
    assert (report.samples_missing, report.prompt_tokens, report.output_tokens) == (0, 640, 320)
    account = account_of(recipe)
    assert (account.shards, account.documents_exact) == (4, True)
    assert (account.missing_shards, account.missing_shard_numbers) == (0, "")
    assert (account.unfinished_files, account.unfinished_file_numbers) == (0, {})
    for totals in account.prompts.values():
        assert totals.planned == 40 == totals.text + totals.error
        assert totals.errors == {"missing_text": 6, "text_not_string": 2}


def test_finalizing_leaves_only_what_the_destination_is_for(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in range(4):
        run_shard(recipe, shard)
    (tmp_path / "out" / "faq" / ".rephrase-dead.tmp").write_bytes(b"half")
    finalize(recipe)
    assert files_in(recipe.output.uri) == {
        layout.CARD,
        layout.REPORT,
        layout.ACCOUNT,
        layout.QUALITY,
        *(layout.shard_quality(shard) for shard in range(4)),
        layout.RECIPE,
        layout.SOURCE_LISTING,
        layout.PLAN,
        layout.STATISTICS,
        *(layout.shard_plan(shard) for shard in range(4)),
        *(layout.manifest(shard) for shard in range(4)),
        *(layout.sample_file(prompt, shard) for prompt in ("faq", "math") for shard in range(4)),
    }


def test_shards_that_failed_are_missing_and_keep_their_segments_for_a_retry(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in (0, 2):
        run_shard(recipe, shard)
    run_shard(recipe, 1, finish=False)
    report = finalize(recipe)
    account = account_of(recipe)
    assert (account.missing_shards, account.missing_shard_numbers) == (2, "1,3")
    assert (report.missing_shards, report.missing_shard_numbers) == (2, "1,3")
    done = report.samples_text + report.samples_error
    assert report.samples_missing == 80 - done
    for totals in account.prompts.values():
        assert totals.planned == 40 == totals.text + totals.error + totals.missing
    assert "The shards that did not finish: 1, 3." in derived(recipe)[layout.CARD].decode()
    assert files_in(recipe.output.uri + "/" + layout.SEGMENTS).pop().startswith("shard-00001/")


def test_finalizing_again_changes_nothing_until_a_failed_shard_is_mended(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in (0, 1, 2):
        run_shard(recipe, shard)
    first = finalize(recipe)
    before = derived(recipe)
    assert finalize(recipe) == first
    assert derived(recipe) == before
    run_shard(recipe, 3)
    assert finalize(recipe).samples_missing == 0
    assert "did not finish" not in derived(recipe)[layout.CARD].decode()


def test_documents_of_an_estimated_plan_are_corrected_by_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "COUNTED_BYTES", 0)
    monkeypatch.setattr(inspection, "SAMPLE_BYTES", 40)
    write_jsonl(tmp_path / "in" / "a.jsonl", ["x" * (n * 7 % 50) + "." for n in range(50)])
    recipe = make_recipe(tmp_path / "in", tmp_path / "out", documents_per_shard=40)
    report = planner.plan(recipe)
    assert not report.documents_exact
    assert report.documents != 50
    for shard in range(1, report.shards):
        run_shard(recipe, shard)
    finalize(recipe)
    partial = account_of(recipe)
    assert (partial.documents_exact, partial.missing_shard_numbers) == (False, "0")
    assert partial.prompts["faq"].missing == shard_plans(recipe)[0].documents
    run_shard(recipe, 0)
    assert finalize(recipe).documents == 50
    assert account_of(recipe).documents_exact


def tamper(recipe: Recipe, path: str, change: dict[str, object]) -> None:
    store = Store(recipe.output.uri)
    content = json.loads(store.read(path)) | change
    store.replace(path, json.dumps(content).encode())


@pytest.mark.parametrize(
    "change",
    [{"documents": 4}, {"recipeHash": "0" * 16}, {"shard": 3}, {"prompts": {}}],
    ids=["documents", "recipe", "shard", "prompts"],
)
def test_figures_that_contradict_each_other_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    recipe = planned(tmp_path)
    for shard in range(4):
        run_shard(recipe, shard)
    tamper(recipe, layout.manifest(1), change)
    with pytest.raises(WorkerError) as caught:
        finalize(recipe)
    assert caught.value.failure.reason is Reason.ACCOUNT_MISMATCH
    assert Store(recipe.output.uri).list(layout.segments_dir(0)) != []


def test_a_plan_that_was_exact_must_be_met_exactly(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in range(4):
        run_shard(recipe, shard)
    tamper(recipe, layout.PLAN, {"documents": 21})
    with pytest.raises(WorkerError, match="the plan has 21 documents, the manifests have 20"):
        finalize(recipe)


def test_a_final_file_that_is_gone_or_foreign_is_noticed(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in range(4):
        run_shard(recipe, shard)
    store = Store(recipe.output.uri)
    store.create("faq/extra.parquet", b"-")
    with pytest.raises(WorkerError, match=r"faq/extra\.parquet is none of the job's files"):
        finalize(recipe)
    store.remove("faq/extra.parquet")
    store.remove("math/shard-00002.parquet")
    with pytest.raises(WorkerError, match=r"math/shard-00002\.parquet"):
        finalize(recipe)


def test_a_file_of_a_shard_without_manifest_is_named_and_not_counted(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    for shard in range(4):
        run_shard(recipe, shard)
    Store(recipe.output.uri).remove(layout.manifest(3))
    finalize(recipe)
    account = account_of(recipe)
    assert account.missing_shard_numbers == "3"
    assert account.unfinished_files == 2
    assert account.unfinished_file_numbers == {"faq": "3", "math": "3"}


def test_finalizing_an_unplanned_or_foreign_destination_is_refused(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    with pytest.raises(WorkerError) as caught:
        finalize(make_recipe(tmp_path / "in", tmp_path / "nothing"))
    assert caught.value.failure.reason is Reason.PLAN_MISSING
    other = recipe.model_copy(update={"prompts": recipe.prompts[:1]})
    with pytest.raises(WorkerError) as caught:
        finalize(other)
    assert caught.value.failure.reason is Reason.OUTPUT_IN_USE


def test_the_card_configures_every_prompt_that_has_files(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    finalize(recipe)
    content = derived(recipe)[layout.CARD].decode()
    assert "configs" not in yaml.safe_load(content.split("---\n")[1])
    for shard in range(4):
        run_shard(recipe, shard)
    finalize(recipe)
    content = derived(recipe)[layout.CARD].decode()
    metadata = yaml.safe_load(content.split("---\n")[1])
    assert metadata["configs"] == [
        {"config_name": "faq", "data_files": "faq/*.parquet"},
        {"config_name": "math", "data_files": "math/*.parquet"},
    ]
    assert [info["config_name"] for info in metadata["dataset_info"]] == ["faq", "math"]
    assert metadata["dataset_info"][0]["splits"][0]["num_examples"] == 40
    assert "| faq | 40 | 32 | 0 | 8 | 0 | 320 | 40.0% | 160 | 5 | 0.0% | 0.0% |" in content
    assert "faq: {{document}}" in content


def test_card_and_report_show_hostile_names_as_text(tmp_path: Path) -> None:
    source = tmp_path / "<script>`|in"
    write_jsonl(source / "a.jsonl", ["one"])
    recipe = make_recipe(source, tmp_path / "out")
    prompt = recipe.prompts[0].model_copy(update={"template": "````\n{{document}} <b>"})
    recipe = recipe.model_copy(update={"prompts": [prompt]})
    planner.plan(recipe)
    run_shard(recipe, 0)
    finalize(recipe)
    files = derived(recipe)
    assert b"<script>" not in files[layout.REPORT]
    assert b"&lt;script&gt;" in files[layout.REPORT]
    assert b"\n`````text\n````\n{{document}} <b>\n`````\n" in files[layout.CARD]


MISSING = {
    "one run": (range(2_000, 10_000), "2000-9999"),
    "two runs": ((*range(42), 43), "0-41,43"),
    "all": (range(10_000), "0-9999"),
    "every other": (range(0, 10_000, 2), ",".join(map(str, range(0, 10_000, 2)))),
}


@pytest.mark.parametrize("name", MISSING)
def test_however_many_shards_are_missing_they_are_counted_and_named(tmp_path: Path, name: str) -> None:
    shards, numbers = MISSING[name]
    recipe = planned(tmp_path)
    plan = read_plan(Store(recipe.output.uri)).model_copy(update={"shards": 10_000, "documents": 10_000})
    missing = set(shards)
    done = [
        Manifest(
            recipe_hash=recipe.hash,
            shard=shard,
            documents=1,
            prompts={prompt.name: PromptAccount(text=2) for prompt in recipe.prompts},
        )
        for shard in range(10_000)
        if shard not in missing
    ]
    account = finalizer.add_up(recipe, plan, done, len(missing), {"faq": sorted(missing), "math": []})
    assert (account.missing_shards, account.missing_shard_numbers) == (len(missing), numbers)
    assert account.unfinished_files == len(missing)
    assert account.unfinished_file_numbers == {"faq": numbers}
    sentence = f"{len(missing):,} of 10,000 shards did not finish."
    which = f"The shards that did not finish: {numbers[:200].replace(',', ', ')}"
    for text in (card(recipe, plan, account), report(recipe, plan, account)):
        assert sentence in text
        assert which in text
        assert ("_rephrase/account.json names all of them" in text) == (name == "every other")
    final = finalizer.report_of(account)
    assert final.missing_shards == len(missing)
    assert numbers.startswith(final.missing_shard_numbers.removesuffix("..."))
    assert json.loads(fit(final)) == json.loads(final.to_json()), "it fits into a termination message"


def test_adding_up_needs_no_store(tmp_path: Path) -> None:
    recipe = planned(tmp_path)
    plan = read_plan(Store(recipe.output.uri))
    account = finalizer.add_up(recipe, plan, [], 0, {})
    assert account.documents == 20
    assert account.prompts["math"].missing == 40
