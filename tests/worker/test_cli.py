"""The commands with the simulated engine on real files: reports, exit codes, bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rephrase_worker import cli, layout
from rephrase_worker.spec import (
    EngineSettings,
    ExitCode,
    FinalReport,
    Model,
    Output,
    PlanReport,
    Recipe,
    Sampling,
    Sharding,
    ShardReport,
    Source,
)
from tests.worker.builders import make_recipe, write_jsonl, write_parquet
from tests.worker.worker_process import Workspace, fetch, workspace


class Commands:
    """A job on disk, its commands run in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.termination = folder / "termination-log"
        self.engine = EngineSettings(backend="simulated")
        write_parquet(folder / "source" / "a.parquet", [f"text number {number}" for number in range(10)])
        write_jsonl(folder / "source" / "b.jsonl", ["one", "", "two", None])
        self.recipe = make_recipe(
            folder / "source", folder / "output", prompts=("faq", "math"), documents_per_shard=100
        )
        monkeypatch.setenv("TERMINATION_MESSAGE_PATH", str(self.termination))
        monkeypatch.setenv("REPHRASE_PORT", "0")
        monkeypatch.setenv("POD_UID", "pod")

    def run(self, command: str, *arguments: str) -> ExitCode:
        (self.folder / "recipe.json").write_text(self.recipe.to_json())
        (self.folder / "engine.json").write_text(self.engine.to_json())
        files = ["--recipe", str(self.folder / "recipe.json")]
        if command == "generate":
            files += ["--engine", str(self.folder / "engine.json")]
        return cli.run([command, *files, *arguments])

    def report(self) -> dict[str, Any]:
        report = json.loads(self.termination.read_bytes())
        assert isinstance(report, dict)
        return report

    def rows(self, prompt: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.folder / "output" / prompt).to_pylist()
        return rows

    def change(self, **update: Any) -> None:
        self.recipe = Recipe.model_validate(self.recipe.model_copy(update=update).model_dump())


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(tmp_path, monkeypatch)


def test_a_job_goes_from_plan_to_report(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run("plan") == ExitCode.OK
    plan = PlanReport.model_validate_json(commands.termination.read_bytes())
    assert (plan.documents, plan.shards, plan.files) == (14, 1, 2)

    assert commands.run("generate", "--shard", "0") == ExitCode.OK
    shard = ShardReport.model_validate_json(commands.termination.read_bytes())
    assert (shard.state, shard.documents_done, shard.documents_planned) == ("done", 14, 14)
    assert (shard.samples_text, shard.samples_error) == (24, 4)
    assert shard.errors == {"empty_text": 2, "missing_text": 2}
    assert shard.pod_uid == "pod"
    assert shard.startup_seconds.keys() == {"import", "resume", "engine"}
    rows = pq.read_table(commands.folder / "output" / "faq" / "shard-00000.parquet").to_pylist()
    assert {row["model"] for row in rows} == {"simulated"}
    assert all(row["text"].startswith("[simulated output") for row in rows if row["error"] is None)

    assert commands.run("finalize") == ExitCode.OK
    final = FinalReport.model_validate_json(commands.termination.read_bytes())
    assert (final.samples_text, final.samples_error, final.samples_missing) == (24, 4, 0)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_finished_shard_is_reported_without_doing_it_again(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.run("plan")
    commands.run("generate", "--shard", "0")
    first = commands.report()
    monkeypatch.setenv("REPHRASE_SIMULATED_DIE_AFTER", "0")
    assert commands.run("generate", "--shard", "0") == ExitCode.OK
    again = commands.report()
    for name in ("state", "documentsDone", "samplesText", "samplesError", "outputTokens"):
        assert again[name] == first[name]
    assert again["commits"] == 0


def test_the_shard_is_the_jobs_completion_index(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.run("plan")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    assert commands.run("generate") == ExitCode.OK
    monkeypatch.delenv("JOB_COMPLETION_INDEX")
    assert commands.run("generate") == ExitCode.USAGE
    assert "--shard" in commands.report()["failure"]["message"]


def test_an_engine_that_dies_is_retried_from_what_was_committed(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.run("plan")
    monkeypatch.setenv("REPHRASE_SIMULATED_DIE_AFTER", "10")
    commands.engine = EngineSettings(backend="simulated", max_requests_in_flight=2)
    assert commands.run("generate", "--shard", "0") == ExitCode.ENGINE
    report = commands.report()
    assert report["state"] == "failed"
    assert report["failure"]["reason"] == "EngineFailed"
    assert report["samplesText"] >= 10
    monkeypatch.delenv("REPHRASE_SIMULATED_DIE_AFTER")
    assert commands.run("generate", "--shard", "0") == ExitCode.OK
    assert commands.report()["samplesText"] == 24


def test_a_shard_without_a_plan_says_how_to_get_one(commands: Commands) -> None:
    assert commands.run("generate", "--shard", "0") == ExitCode.INTERNAL
    assert commands.report()["failure"]["reason"] == "PlanMissing"
    commands.run("plan")
    assert commands.run("generate", "--shard", "99") == ExitCode.INTERNAL
    assert "shard 99" in commands.report()["failure"]["message"]


def test_another_recipe_on_the_same_output_is_refused(commands: Commands) -> None:
    commands.run("plan")
    commands.change(sampling=Sampling(temperature=0.5))
    assert commands.run("generate", "--shard", "0") == ExitCode.CONFIG
    assert commands.report()["failure"]["reason"] == "OutputInUse"
    assert commands.run("plan") == ExitCode.CONFIG


def test_a_setting_that_can_not_work_fails_the_job_only_before_anything_is_committed(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.run("plan")
    commands.engine = EngineSettings(backend="simulated", max_model_len=64)
    assert commands.run("generate", "--shard", "0") == ExitCode.USAGE
    message = commands.report()["failure"]["message"]
    assert "maxTokens 2048" in message
    assert "64 tokens" in message

    commands.engine = EngineSettings(backend="simulated", max_requests_in_flight=2)
    monkeypatch.setenv("REPHRASE_SIMULATED_DIE_AFTER", "5")
    assert commands.run("generate", "--shard", "0") == ExitCode.ENGINE
    commands.engine = EngineSettings(backend="simulated", max_model_len=64)
    assert commands.run("generate", "--shard", "0") == ExitCode.INTERNAL
    assert commands.report()["failure"]["reason"] == "InvalidRecipe"


def test_segments_of_any_shard_keep_a_setting_that_can_not_work_from_failing_the_job(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.change(sharding=Sharding(documents_per_shard=7))
    commands.run("plan")
    commands.engine = EngineSettings(backend="simulated", max_requests_in_flight=2)
    monkeypatch.setenv("REPHRASE_SIMULATED_DIE_AFTER", "5")
    assert commands.run("generate", "--shard", "1") == ExitCode.ENGINE
    commands.engine = EngineSettings(backend="simulated", max_model_len=64)
    assert commands.run("generate", "--shard", "0") == ExitCode.INTERNAL


def test_a_message_with_characters_that_json_cannot_hold_is_still_reported(commands: Commands) -> None:
    (commands.folder / "source" / "b.jsonl").write_bytes(b'{"\\ud800": "a name that is half a character"}\n')
    assert commands.run("plan") == ExitCode.CONFIG
    assert commands.report()["failure"]["reason"] == "TextFieldMissing"


def test_a_source_that_changed_after_planning_fails_the_shard(commands: Commands) -> None:
    commands.run("plan")
    write_jsonl(commands.folder / "source" / "b.jsonl", ["something", "else"])
    assert commands.run("generate", "--shard", "0") == ExitCode.DATA
    assert commands.report()["failure"]["reason"] == "SourceChanged"
    assert "b.jsonl" in commands.report()["failure"]["message"]


def test_a_misspelt_field_is_named(commands: Commands) -> None:
    commands.run("plan")
    recipe = json.loads(commands.recipe.to_json())
    recipe["sampling"]["temprature"] = recipe["sampling"].pop("temperature")
    recipe["sampling"]["topP"] = 7
    path = commands.folder / "misspelt.json"
    path.write_text(json.dumps(recipe))
    for command in ("plan", "finalize"):
        assert cli.run([command, "--recipe", str(path)]) == ExitCode.USAGE
        failure = commands.report()["failure"]
        assert failure["reason"] == "InvalidRecipe"
        assert "sampling.temprature" in failure["message"]
        assert "sampling.topP" in failure["message"]


@pytest.mark.parametrize("content", ["", "[]", "not JSON", '{"job": {}}'])
def test_a_recipe_that_can_not_be_read_is_a_usage_error(commands: Commands, content: str) -> None:
    path = commands.folder / "recipe.json"
    path.write_text(content)
    assert cli.run(["plan", "--recipe", str(path)]) == ExitCode.USAGE
    assert "recipe.json is not a valid recipe" in commands.report()["failure"]["message"]
    assert cli.run(["plan", "--recipe", str(commands.folder / "nothing.json")]) == ExitCode.USAGE
    assert "can't be read" in commands.report()["failure"]["message"]


def test_engine_settings_that_can_not_be_read_are_named_as_a_person_would(commands: Commands) -> None:
    assert commands.run("plan") == ExitCode.OK
    path = commands.folder / "misspelt.json"
    path.write_text('{"maxNumSecs": 8}')
    recipe = str(commands.folder / "recipe.json")
    assert cli.run(["generate", "--recipe", recipe, "--shard", "0", "--engine", str(path)]) == ExitCode.USAGE
    message = commands.report()["failure"]["message"]
    assert "misspelt.json is not a valid engine: maxNumSecs" in message


def test_a_template_without_a_place_for_the_document_is_refused_by_every_command(commands: Commands) -> None:
    template = commands.recipe.prompts[0].model_copy(update={"template": "Write a FAQ."})
    commands.change(prompts=[template])
    for command in ("plan", "generate", "finalize"):
        assert commands.run(command) == ExitCode.USAGE
        assert "{{document}}" in commands.report()["failure"]["message"]


@pytest.mark.parametrize(
    ("field", "uri"),
    [
        ("output", "memory://out"),
        ("output", "hf://datasets/acme/web"),
        ("output", "https://example.com/out"),
        ("source", "memory://in"),
        ("source", "ftp://example.com/in"),
    ],
)
def test_a_protocol_that_pods_can_not_share_is_refused_with_the_list(
    commands: Commands, field: str, uri: str
) -> None:
    commands.change(**{field: {"source": Source, "output": Output}[field](uri=uri)})
    assert commands.run("plan") == ExitCode.USAGE
    message = commands.report()["failure"]["message"]
    assert f"{field}.uri" in message
    assert "pvc://" in message


def test_a_job_on_claims_keeps_their_names_in_plan_and_samples(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPHRASE_CLAIMS", f"input={commands.folder / 'source'},data={commands.folder}")
    commands.change(source=Source(uri="pvc://input/*.parquet"), output=Output(uri="pvc://data/output"))
    for command in ("plan", "generate", "finalize"):
        assert commands.run(command, *(["--shard", "0"] if command == "generate" else [])) == ExitCode.OK
    bookkeeping = commands.folder / "output" / layout.BOOKKEEPING
    assert (
        json.loads((commands.folder / "output" / layout.SOURCE_LISTING).read_text())["root"] == "pvc://input"
    )
    assert not any(str(commands.folder) in path.read_text() for path in bookkeeping.rglob("*.json"))
    assert str(commands.folder) not in (commands.folder / "output" / layout.CARD).read_text()
    assert {row["source_file"] for row in commands.rows("faq")} == {"a.parquet"}


def test_an_unforeseen_error_has_a_report_and_a_traceback(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commands.run("plan")
    path = commands.folder / "output" / layout.shard_plan(0)
    path.chmod(0o644)
    monkeypatch.setattr("rephrase_worker.generate.shard.ShardReader", None)
    assert commands.run("generate", "--shard", "0") == ExitCode.INTERNAL
    assert commands.report()["failure"]["reason"] == "InternalError"
    assert "TypeError" in commands.report()["failure"]["message"]
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("arguments", [[], ["dance"], ["plan"], ["generate", "--recipe", "x"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(arguments)
    assert caught.value.code == ExitCode.USAGE


def test_nothing_of_the_environment_reaches_log_or_report(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_a_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another_secret")
    commands.run("plan")
    monkeypatch.setattr("rephrase_worker.generate.shard.ShardReader", None)
    commands.run("generate", "--shard", "0")
    seen = "".join(capfd.readouterr()) + commands.termination.read_text()
    assert "secret" not in seen


@pytest.fixture
def slow_job(tmp_path: Path) -> Iterator[Workspace]:
    write_parquet(tmp_path / "source" / "a.parquet", [f"text number {number}" for number in range(500)])
    recipe = make_recipe(tmp_path / "source", tmp_path / "output", documents_per_shard=1000)
    recipe = recipe.model_copy(update={"model": Model(name="simulated")})
    engine = EngineSettings(backend="simulated", max_requests_in_flight=4, commit_interval_seconds=1)
    with workspace(tmp_path, recipe, engine) as space:
        space.run("plan")
        yield space


def test_sigterm_ends_a_worker_as_preempted_with_everything_committed(slow_job: Workspace) -> None:
    worker = slow_job.worker(uid="stopped", REPHRASE_SIMULATED_TOKEN_SECONDS="0.005")
    url = worker.wait_for_line(r"telemetry=(\S+)").group(1)
    worker.wait_for_line("committed samples=[1-9]")
    progress = json.loads(fetch(f"{url}/progress"))
    assert progress["state"] == "generating"
    assert progress["tokensPerSecond"] > 0
    worker.terminate()
    assert worker.exit_code() == ExitCode.PREEMPTED, worker.text
    report = worker.report()
    assert report["failure"]["reason"] == "Preempted"
    committed = sum(pq.read_metadata(path).num_rows for path in slow_job.segments())
    assert committed == report["samplesText"] > 0


def test_sigterm_while_an_engine_starts_ends_the_worker_at_once(slow_job: Workspace) -> None:
    worker = slow_job.worker(uid="starting", REPHRASE_SIMULATED_STARTUP_SECONDS="3600")
    url = worker.wait_for_line(r"telemetry=(\S+)").group(1)
    worker.wait_for_line("starting the engine")
    assert json.loads(fetch(f"{url}/progress"))["step"] == "engine"
    worker.terminate()
    assert worker.exit_code() == ExitCode.PREEMPTED, worker.text
    assert worker.report()["failure"]["reason"] == "Preempted"
