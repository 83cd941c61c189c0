"""Prompts from a ConfigMap of the job's namespace: waited for, read at the start, and frozen then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rephrase_operator.library import Layout, read_prompt_file
from tests.e2e.harness import Job, Stage

MakeJob = Callable[..., Job]

PLAIN = "Tell a child what this is about:\n\n{{document}}"
FILE = """---
title: Haiku
structure: list
system: You are a poet.
---
Turn the text into a haiku.
"""


@pytest.fixture
def config_map(stage: Stage) -> Iterator[str]:
    """The name of a ConfigMap that is not there yet."""
    name = "own-prompts"
    yield name
    stage.kubectl("delete", f"configmap/{name}", "--ignore-not-found")


def create(stage: Stage, folder: Path, name: str, **texts: str) -> None:
    """kubectl create configmap, from files, as a user would; an existing one is replaced."""
    words = ["create", "configmap", name]
    for key, text in texts.items():
        (folder / key).write_text(text)
        words.append(f"--from-file={key}.md={folder / key}")
    manifest = stage.kubectl(*words, "--dry-run=client", "-o", "yaml").stdout
    stage.kubectl("apply", "-f", "-", stdin=manifest)


def own(config_map: str, key: str = "own.md", **fields: Any) -> dict[str, Any]:
    return {"name": "own", "configMapKeyRef": {"name": config_map, "key": key}} | fields


def accepted(job: Job) -> tuple[str, str, str]:
    found = job.condition("Accepted")
    return found["status"], found["reason"], found["message"]


def frozen(job: Job) -> dict[str, Any]:
    prompts = json.loads((job.output / "_rephrase" / "recipe.json").read_text())["prompts"]
    return {prompt["name"]: prompt for prompt in prompts}


def test_a_job_waits_for_its_prompts_and_starts_by_itself(
    stage: Stage, make_job: MakeJob, tmp_path: Path, config_map: str
) -> None:
    job = make_job(documents=2, prompts=[own(config_map), {"name": "faq"}]).apply()
    stage.wait(job.reference, "condition=Accepted=False")
    assert accepted(job)[1] == "ConfigMapNotFound"
    assert f"kubectl create configmap {config_map}" in accepted(job)[2]
    assert job.status()["phase"] == "Pending"

    create(stage, tmp_path, config_map, other=PLAIN)
    job.wait_until(lambda status: accepted(job)[1] == "ConfigMapKeyNotFound")
    assert "it has other.md" in accepted(job)[2]

    create(stage, tmp_path, config_map, own="No document.")
    job.wait_until(lambda status: accepted(job)[1] == "InvalidPrompt")
    assert "{{document}} 0 times" in accepted(job)[2]
    assert job.children() == []

    create(stage, tmp_path, config_map, own=PLAIN)
    stage.wait(job.reference, "condition=Complete")
    job.check_account(2)
    assert frozen(job)["own"]["template"] == PLAIN


def test_a_change_after_the_start_changes_nothing(
    stage: Stage, make_job: MakeJob, tmp_path: Path, config_map: str
) -> None:
    create(stage, tmp_path, config_map, own=PLAIN)
    job = make_job(documents=2, parallelism=0, prompts=[own(config_map)]).apply()
    stage.wait(job.reference, "condition=Planned")
    create(stage, tmp_path, config_map, own="Something else: {{document}}")
    job.patch(parallelism=1)
    stage.wait(job.reference, "condition=Complete")
    assert {row["prompt_hash"] for row in job.rows()} == {hashlib.sha256(PLAIN.encode()).hexdigest()[:16]}
    assert frozen(job)["own"]["template"] == PLAIN


def test_a_file_of_the_librarys_format_is_laid_out_and_brings_its_facts(
    stage: Stage, make_job: MakeJob, tmp_path: Path, config_map: str
) -> None:
    create(stage, tmp_path, config_map, own=FILE)
    job = make_job(documents=1, parallelism=0, prompts=[own(config_map, layout="InstructionFirst")]).apply()
    stage.wait(job.reference, "condition=Planned")
    assert frozen(job)["own"] == {
        "name": "own",
        "template": read_prompt_file(FILE).template(Layout.INSTRUCTION_FIRST),
        "system": "You are a poet.",
        "structure": "list",
    }


def test_the_operator_may_read_config_maps_one_by_one_and_no_secrets(
    stage: Stage, tmp_path: Path, config_map: str
) -> None:
    def operator(*words: str) -> str:
        asked = stage.kubectl("--kubeconfig", str(stage.operator_config), *words, check=False)
        return asked.stdout + asked.stderr

    create(stage, tmp_path, config_map, own=PLAIN)
    assert operator("get", f"configmap/{config_map}", "-o", "name").strip() == f"configmap/{config_map}"
    for words in (("get", "configmaps"), ("delete", f"configmap/{config_map}"), ("get", "secret/token")):
        assert "forbidden" in operator(*words).lower()
