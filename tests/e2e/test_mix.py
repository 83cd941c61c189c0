"""A job that mixes, through kubectl: killed, suspended, refused, and the same as by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rephrase_operator import cli
from tests.e2e.harness import Job, Stage

MakeJob = Callable[..., Job]


def write_original(folder: Path, documents: int) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [" ".join(f"w{number}-{word}" for word in range(10 + number % 50)) for number in range(documents)]
    pq.write_table(pa.table({"text": texts}), folder / "o.parquet", row_group_size=100)
    return str(folder)


def mixing_job(make_job: MakeJob, tmp_path: Path, *, original: int, **mix: Any) -> Job:
    source = {"uri": write_original(tmp_path / "original", original)}
    return make_job(documents=30, per_shard=10, mix={"source": source} | mix)


def check_mix(job: Job) -> dict[str, Any]:
    """The account of the mix against its rows; returns it."""
    account: dict[str, Any] = json.loads((job.output / "_rephrase" / "mix" / "account.json").read_text())
    rows = pq.read_table(job.output / "mix").to_pylist()
    key = ("kind", "prompt", "source_file", "source_position", "rollout", "repetition")
    assert set(Counter(tuple(row[name] for name in key) for row in rows).values()) == {1}
    assert account["rows"] == len(rows)
    assert account["tokens"] == sum(row["tokens"] for row in rows)
    for name, prompt in account["prompts"].items():
        counted = sum(prompt[part] for part in ("used", "error", "empty", "unused", "missing"))
        assert prompt["planned"] == 30 == counted
        assert prompt["rows"] == sum(row["prompt"] == name for row in rows)
    original = account["original"]
    assert original["documents"] == original["used"] + original["unusable"] + original["unused"]
    return account


def test_a_mix_whose_pods_are_killed_is_the_one_that_is_made_by_hand(
    stage: Stage, make_job: MakeJob, tmp_path: Path
) -> None:
    job = mixing_job(make_job, tmp_path, original=20_000, shards=2, share={"faq": 0.05, "math": 0.1}, seed=3)
    job.apply()
    job.wait_phase("Mixing")
    killed = 0
    while killed < 2:
        for pod in job.running("mix"):
            job.kill(pod)
            killed += 1
    stage.wait(job.reference, "condition=Complete")
    account = check_mix(job)
    status = job.status()
    assert status["phase"] == "Succeeded"
    mix = status["mix"]
    assert (mix["done"], mix["total"], mix["complete"]) == (2, 2, True)
    assert (mix["rows"], mix["tokens"]) == (account["rows"], account["tokens"])
    assert mix["shareReached"] == pytest.approx(mix["shareAsked"], abs=0.01)
    shares = {prompt["name"]: (prompt["shareAsked"], prompt["shareReached"]) for prompt in mix["prompts"]}
    assert shares["faq"][0] == 0.05 == pytest.approx(shares["faq"][1], abs=0.01)
    assert shares["math"][0] == 0.1 == pytest.approx(shares["math"][1], abs=0.01)
    assert "Mixed:" in status["message"]
    assert "Mixing" in stage.kubectl("describe", "rj", job.name).stdout.split("Events:")[1]
    options = ["--share", "faq=0.05", "--share", "math=0.1", "--seed", "3", "--shards", "2"]
    words = [str(job.output), "--original", str(tmp_path / "original"), "--output", str(tmp_path / "alone")]
    assert cli.main(["mix", *words, *options]) == 0
    for file in sorted((job.output / "mix").glob("*.parquet")):
        assert file.read_bytes() == (tmp_path / "alone" / "mix" / file.name).read_bytes()
    job.check_account(30)


def test_a_suspended_mix_stops_and_goes_on(stage: Stage, make_job: MakeJob, tmp_path: Path) -> None:
    job = mixing_job(make_job, tmp_path, original=20_000, share={"faq": 0.05, "math": 0.1}).apply()
    job.wait_phase("Mixing")
    job.patch(suspend=True)
    job.wait_phase("Suspended")
    assert stage.get(f"jobs/{job.name}-mix")["spec"]["suspend"]
    assert job.running("mix") == []
    job.patch(suspend=False)
    stage.wait(job.reference, "condition=Complete")
    check_mix(job)


def test_original_data_without_the_column_fails_the_job_before_anything_is_generated(
    stage: Stage, make_job: MakeJob, tmp_path: Path
) -> None:
    job = mixing_job(make_job, tmp_path, original=10)
    job.spec["mix"]["source"]["textField"] = "body"
    job.apply()
    stage.wait(job.reference, "condition=Failed")
    condition = job.condition("Failed")
    assert condition["reason"] == "TextFieldMissing"
    assert "mix.source" in condition["message"]
    assert "text" in condition["message"]
    assert not job.output.exists()


def test_original_data_that_changes_meanwhile_fails_the_job_and_keeps_the_dataset(
    stage: Stage, make_job: MakeJob, tmp_path: Path
) -> None:
    job = mixing_job(make_job, tmp_path, original=100)
    job.spec["worker"]["env"][0]["value"] = "0.02"
    job.apply()
    job.wait_workers()
    write_original(tmp_path / "original", 101)
    stage.wait(job.reference, "condition=Failed")
    condition = job.condition("Failed")
    assert condition["reason"] == "SourceChanged"
    assert f"The dataset is complete at {job.output}." in condition["message"]
    assert f"rephrase mix {job.output}" in condition["message"]
    job.check_account(30)


def test_a_share_of_one_is_refused_by_the_api_server(stage: Stage, make_job: MakeJob, tmp_path: Path) -> None:
    job = mixing_job(make_job, tmp_path, original=10, share={"faq": 1})
    refused = stage.kubectl("apply", "-f", "-", stdin=json.dumps(job.manifest), check=False)
    assert refused.returncode != 0
    assert "a share of 0 or 1 is no mix" in refused.stderr
