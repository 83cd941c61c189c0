"""`rephrase mix`: a finished dataset is mixed by hand, without a cluster."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rephrase_operator import cli
from rephrase_worker import layout
from rephrase_worker.finalizer import finalize
from rephrase_worker.mixes import MixAccount
from rephrase_worker.planner import planner
from rephrase_worker.spec import ExitCode, Recipe
from rephrase_worker.store import Store
from tests.worker.builders import make_recipe, write_parquet
from tests.worker.mix_builders import finished, mixed, ordered


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """A job that was finished and has begun to mix: its folder and its recipe."""
    folder = tmp_path_factory.mktemp("dataset")
    recipe = ordered(folder, documents=100, original=500, shards=3, share={"faq": 0.7}, seed=5)
    assert finished(recipe) == 3
    return folder, recipe


def rephrase(*words: object) -> int:
    return cli.main(["mix", *map(str, words)])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "mix").glob("*.parquet"))}


def test_by_hand_the_files_are_those_of_the_job(
    made: tuple[Path, Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, recipe = made
    options = ("--original", folder / "original", "--share", "faq=0.7", "--seed", 5, "--shards", 3)
    assert rephrase(folder / "out", *options, "--output", tmp_path / "alone") == 0
    out = capsys.readouterr().out
    assert "of the tokens synthetic" in out
    assert "70.0%" in out
    mixed(recipe, 3)
    assert files(tmp_path / "alone") == files(folder / "out")
    assert len(files(tmp_path / "alone")) == 3
    assert not (tmp_path / "alone" / "_rephrase" / "probe").exists()
    assert pq.read_table(tmp_path / "alone" / "mix").num_rows


def test_an_interrupted_mix_goes_on_and_a_job_s_mix_can_be_finished_by_hand(
    made: tuple[Path, Recipe], tmp_path: Path
) -> None:
    folder, _ = made
    options = (folder / "out", "--original", folder / "original", "--output", tmp_path)
    assert rephrase(*options) == 0
    whole = files(tmp_path)
    store = Store(str(tmp_path))
    for path in (layout.MIX_ACCOUNT, layout.mix_manifest(0), layout.mix_file(0)):
        store.remove(path)
    assert rephrase(*options) == 0
    assert files(tmp_path) == whole
    store.remove(layout.MIX_ACCOUNT)
    assert rephrase(folder / "out", "--output", tmp_path) == 0
    assert store.exists(layout.MIX_ACCOUNT)


def test_card_and_report_of_a_dataset_tell_of_a_mix_in_its_own_folder(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    finished(recipe.model_copy(update={"mix": None}))
    card = tmp_path / "out" / layout.CARD
    assert "mix/*.parquet" not in card.read_text()
    assert rephrase(tmp_path / "out", "--original", tmp_path / "original") == 0
    assert "mix/*.parquet" in card.read_text()


def test_other_settings_at_the_same_place_are_refused(
    made: tuple[Path, Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = made
    options = (folder / "out", "--original", folder / "original", "--output", tmp_path)
    assert rephrase(*options) == 0
    assert rephrase(*options, "--seed", 8) == ExitCode.CONFIG
    assert "holds another mix" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--share", "faq=1"),
            "--share: must be between 0 and 1, both excluded: a share of",
        ),
        (("--share", "faq=0"), "a share of 0 or 1 is no mix"),
        (("--share", "faq"), "--share faq: expected PROMPT=SHARE, such as faq=0.6."),
        (("--share", "faq=half"), "--share faq=half: expected PROMPT=SHARE"),
        (("--share", "fqa=0.6"), "mix.share names fqa, and the dataset has the prompts faq, math"),
        (("--tokens", "0"), "--tokens: Input should be greater than or equal to 1, not 0"),
        (("--shards", "0"), "--shards: "),
        (("--text-field", "body"), "body"),
        (("--tokenizer", "/no/such/model"), "The model /no/such/model"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(
    made: tuple[Path, Recipe],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    said: str,
) -> None:
    folder, _ = made
    words = (folder / "out", "--original", folder / "original", "--output", tmp_path / "new", *options)
    assert rephrase(*words) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_what_is_no_finished_dataset_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_parquet(tmp_path / "o.parquet", ["text"])
    assert rephrase(tmp_path / "nothing", "--original", tmp_path) != 0
    assert "There is no finished dataset at" in capsys.readouterr().err
    assert rephrase(tmp_path / "nothing") != 0
    assert "No mix was begun at" in capsys.readouterr().err


def test_a_dataset_with_a_prompt_named_mix_needs_another_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    write_parquet(tmp_path / "in" / "a.parquet", [f"one two three {n}" for n in range(9)])
    recipe = make_recipe(tmp_path / "in", tmp_path / "out", prompts=("mix",))
    planner.plan(recipe)
    finished(recipe)
    assert rephrase(tmp_path / "out", "--original", tmp_path / "in") == ExitCode.CONFIG
    assert "has a prompt named mix" in capsys.readouterr().err
    assert rephrase(tmp_path / "out", "--original", tmp_path / "in", "--output", tmp_path / "new") == 0


def test_samples_that_the_dataset_lacks_are_counted_as_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    recipe = ordered(tmp_path, documents=45, per_shard=15)
    plain = recipe.model_copy(update={"mix": None})
    finished(plain)
    store = Store(recipe.output.uri)
    store.remove(layout.manifest(2))
    assert finalize(plain).missing_shards == 1
    assert rephrase(tmp_path / "out", "--original", tmp_path / "original", "--output", tmp_path / "new") == 0
    account = MixAccount.model_validate_json(Store(str(tmp_path / "new")).read(layout.MIX_ACCOUNT))
    for prompt in account.prompts.values():
        assert (prompt.planned, prompt.missing) == (45, 15)
        assert prompt.planned == prompt.used + prompt.error + prompt.empty + prompt.unused + prompt.missing
    assert "missing" in capsys.readouterr().out


def test_the_card_and_the_report_of_the_dataset_show_its_mix(tmp_path: Path) -> None:
    finished(ordered(tmp_path, shards=1))
    card, report = tmp_path / "out" / layout.CARD, tmp_path / "out" / layout.REPORT
    assert "data_files: mix/*.parquet" not in card.read_text()
    assert rephrase(tmp_path / "out") == 0
    assert "data_files: mix/*.parquet" in card.read_text()
    assert "Mix with original data" in report.read_text()
