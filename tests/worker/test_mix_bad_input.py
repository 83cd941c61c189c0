"""What can't be mixed is refused with a sentence that says what to do, and as early as possible."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from rephrase_worker import cli, layout
from rephrase_worker.mix.freeze import order_of, refuse_foreign
from rephrase_worker.mix.run import mix_shard
from rephrase_worker.planner import planner
from rephrase_worker.spec import ExitCode, Mix, Reason, Recipe, Source, WorkerError
from rephrase_worker.store import Store
from tests.worker.builders import make_recipe, write_jsonl, write_parquet
from tests.worker.mix_builders import finished, mixed, ordered, write_original


def refused(folder: Path, source: Path | str, **mix: object) -> WorkerError:
    """The error that planning ends with; it leaves nothing at the destination."""
    with pytest.raises(WorkerError) as caught:
        ordered(folder, source=str(source), **mix)  # type: ignore[arg-type]
    assert not (folder / "out").exists()
    assert caught.value.failure.message.startswith("The original data of the mix (mix.source): ")
    return caught.value


def test_a_source_without_a_text_column_names_the_columns_that_it_has(tmp_path: Path) -> None:
    write_parquet(tmp_path / "other" / "o.parquet", ["a"])
    error = refused_with_field(tmp_path, tmp_path / "other", "content")
    assert (error.failure.reason, error.exit_code) == (Reason.TEXT_FIELD_MISSING, ExitCode.CONFIG)
    assert "content" in error.failure.message
    assert "text" in error.failure.message


def refused_with_field(folder: Path, source: Path, field: str) -> WorkerError:
    write_parquet(folder / "in" / "a.parquet", ["one"])
    recipe = make_recipe(folder / "in", folder / "out").model_copy(
        update={"mix": Mix(source=Source(uri=str(source), text_field=field))}
    )
    with pytest.raises(WorkerError) as caught:
        planner.plan(recipe)
    assert not (folder / "out").exists()
    return caught.value


def test_a_text_column_of_numbers_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "other" / "o.parquet", [1, 2, 3])
    assert refused(tmp_path, tmp_path / "other").exit_code is ExitCode.CONFIG


def test_json_lines_without_the_key_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "o.jsonl").write_text('{"body": "a"}\n' * 20)
    error = refused(tmp_path, tmp_path / "other")
    assert error.exit_code is ExitCode.CONFIG
    assert "text" in error.failure.message


@pytest.mark.parametrize("texts", [[], [None, None, ""]], ids=["no rows", "no texts"])
def test_a_source_without_documents_is_refused(tmp_path: Path, texts: list[str | None]) -> None:
    write_parquet(tmp_path / "empty" / "o.parquet", pa.array(texts, pa.string()))
    assert refused(tmp_path, tmp_path / "empty").exit_code is ExitCode.CONFIG


def test_a_source_that_is_not_there_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, tmp_path / "nowhere").failure.reason is Reason.SOURCE_NOT_FOUND
    (tmp_path / "void").mkdir()
    assert refused(tmp_path, tmp_path / "void").failure.reason is Reason.SOURCE_NOT_FOUND


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "o.parquet").write_bytes(b"<html>not found</html>")
    assert refused(tmp_path, tmp_path / "broken").failure.reason is Reason.SOURCE_FORMAT


@pytest.mark.parametrize("share", [0, 1, 0.0, 1.0])
def test_a_share_of_nothing_or_of_everything_is_no_mix(share: float) -> None:
    with pytest.raises(ValidationError, match="a share of 0 or 1 is no mix"):
        Mix(source=Source(uri="/in"), share={"faq": share})


@pytest.mark.parametrize("share", [-0.1, 1.5, 60, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValidationError):
        Mix(source=Source(uri="/in"), share={"faq": share})


def test_a_share_of_a_prompt_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    write_original(tmp_path / "original" / "o.parquet", 5)
    with pytest.raises(WorkerError, match=r"mix\.share names fqa, and the dataset has the prompts faq, math"):
        ordered(tmp_path, share={"fqa": 0.6})


def test_a_prompt_with_the_name_of_the_folder_is_refused(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, tmp_path / "out", prompts=("mix",))
    with pytest.raises(ValidationError, match="a prompt can't be named mix"):
        Recipe(**(recipe.model_dump() | {"mix": Mix(source=Source(uri="/in"))}))


def test_an_original_file_that_has_changed_fails_its_shard(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    finished(recipe)
    write_original(tmp_path / "original" / "o.parquet", 200, seed=9)
    error = failure(recipe)
    assert (error.failure.reason, error.exit_code) == (Reason.SOURCE_CHANGED, ExitCode.DATA)
    (tmp_path / "original" / "o.parquet").unlink()
    assert failure(recipe).failure.reason is Reason.SOURCE_CHANGED
    assert Store(recipe.output.uri).list("mix") == []


def failure(recipe: Recipe) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        mix_shard(Store(recipe.output.uri), 0)
    return caught.value


def test_an_output_file_that_has_changed_or_is_gone_fails_its_shard(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    finished(recipe)
    path = tmp_path / "out" / "faq" / "shard-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole + b"-")
    error = failure(recipe)
    assert (error.failure.reason, error.exit_code) == (Reason.SOURCE_CHANGED, ExitCode.DATA)
    assert "faq/shard-00001.parquet" in error.failure.message
    path.write_bytes(whole[:200] + bytes(len(whole) - 400) + whole[-200:])
    assert failure(recipe).exit_code is ExitCode.DATA
    path.unlink()
    assert "is gone" in failure(recipe).failure.message
    path.write_bytes(whole)
    assert mixed(recipe, 1).rows


def test_a_mix_of_other_settings_at_the_same_place_is_not_overwritten(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    finished(recipe)
    assert recipe.mix is not None
    other = order_of(recipe, recipe.mix.model_copy(update={"seed": 4, "tokens": 9}), None)
    with pytest.raises(WorkerError, match=r"holds another mix, of .*out: tokens, seed differ") as caught:
        refuse_foreign(Store(recipe.output.uri), other)
    assert (caught.value.failure.reason, caught.value.exit_code) == (Reason.OUTPUT_IN_USE, ExitCode.CONFIG)


def test_files_in_the_folder_of_the_mix_are_noticed_before_anything_is_generated(tmp_path: Path) -> None:
    (tmp_path / "out" / "mix").mkdir(parents=True)
    (tmp_path / "out" / "mix" / "shard-00000.parquet").write_bytes(b"somebody's")
    with pytest.raises(WorkerError, match=r"holds mix/shard-00000\.parquet") as caught:
        ordered(tmp_path)
    assert caught.value.failure.reason is Reason.OUTPUT_IN_USE


def test_so_little_original_data_that_nothing_can_be_mixed_is_no_success(tmp_path: Path) -> None:
    write_parquet(tmp_path / "little" / "o.parquet", ["a"])
    recipe = ordered(tmp_path, source=str(tmp_path / "little"), max_repetitions=1)
    finished(recipe)
    error = failure(recipe)
    assert (error.failure.reason, error.exit_code) == (Reason.DATASET_INCOMPLETE, ExitCode.CONFIG)
    assert "Nothing is in the mix" in error.failure.message
    assert "the original data is too little for the shares" in error.failure.message


def test_a_foreign_file_among_those_of_the_mix_is_noticed(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    finished(recipe)
    Store(recipe.output.uri).create("mix/extra.parquet", b"-")
    error = failure(recipe)
    assert error.failure.reason is Reason.ACCOUNT_MISMATCH
    assert "mix/extra.parquet is none of the files of the mix" in error.failure.message


def test_manifests_that_contradict_the_dataset_are_refused(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    finished(recipe)
    mixed(recipe, 1)
    store = Store(recipe.output.uri)
    manifest = json.loads(store.read(layout.mix_manifest(0)))
    manifest["prompts"]["faq"]["error"] += 1
    store.replace(layout.mix_manifest(0), json.dumps(manifest).encode())
    assert "does not add up" in failure(recipe).failure.message


def test_mixing_before_finalizing_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ordered(tmp_path)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    monkeypatch.setenv("TERMINATION_MESSAGE_PATH", str(tmp_path / "message"))
    code = cli.run(["mix", "--recipe", str(tmp_path / "recipe.json"), "--shard", "0"])
    assert code is ExitCode.INTERNAL
    message = json.loads((tmp_path / "message").read_text())["failure"]["message"]
    assert "There is no order of a mix" in message
    assert "finalize" in message


def test_the_original_may_be_one_file_of_another_format(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "other.jsonl", [f"text number {n} of them" for n in range(50)])
    recipe = ordered(tmp_path, source=str(tmp_path / "other.jsonl"))
    assert mixed(recipe, finished(recipe)).original.used


def test_another_original_for_a_mix_that_is_planned_already_is_refused(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    other = Mix(source=Source(uri=str(tmp_path / "in")))
    with pytest.raises(WorkerError, match=r"is mixed with .*original already") as caught:
        planner.plan(recipe.model_copy(update={"mix": other}))
    assert caught.value.failure.reason is Reason.OUTPUT_IN_USE
