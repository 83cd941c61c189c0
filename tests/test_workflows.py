"""The workflows: what their linters find, and that they call what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.requirements import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
BIN = Path(sys.executable).parent


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yaml").read_text())
    return loaded


def all_jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(name, job) for path in WORKFLOWS for name, job in workflow(path.stem)["jobs"].items()]


@pytest.mark.parametrize("command", [["actionlint"], ["zizmor", "--offline", "--no-progress", ".github"]])
def test_the_linters_find_nothing(command: list[str]) -> None:
    files = [str(path) for path in WORKFLOWS] if command == ["actionlint"] else []
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:], *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned_to_commits_whose_version_is_said() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    used = [line for line in re.findall(r"uses: (.*)", text) if not line.startswith("$/")]
    assert len(used) > 20
    assert [line for line in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    versions = {(line.split("@")[0], line.split("@")[1]) for line in used}
    assert len(versions) == len({name for name, _ in versions}), "one action has one version"


def test_a_workflow_grants_nothing_and_each_job_what_it_needs_in_limited_time() -> None:
    assert [workflow(path.stem)["permissions"] for path in WORKFLOWS] == [{}] * len(WORKFLOWS)
    for name, job in all_jobs():
        assert job["permissions"], name
        assert "uses" in job or job["timeout-minutes"] <= 120, name
    writers = {name for name, job in all_jobs() if "contents: write" in yaml.safe_dump(job["permissions"])}
    assert writers == {"github"}


def test_make_has_the_targets_that_the_workflows_call() -> None:
    makefile = (ROOT / "Makefile").read_text()
    steps = [step.get("run", "") for _, job in all_jobs() for step in job.get("steps", ())]
    calls = [
        re.sub(r"\S+=\S+", "", found).split() for found in re.findall(r"^make (.*)$", "\n".join(steps), re.M)
    ]
    targets = {target for call in calls for target in call}
    assert {"lint", "check-generated", "test", "images", "dist"} == targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_a_release_builds_each_target_of_the_dockerfile_and_names_no_registry_but_githubs() -> None:
    release = workflow("release")
    built = {
        entry["target"]: entry["image"]
        for entry in release["jobs"]["images"]["strategy"]["matrix"]["include"]
    }
    assert built == {
        "operator": "rephrase-operator",
        "worker": "rephrase-worker",
        "worker-cpu": "rephrase-worker-cpu",
    }
    dockerfile = (ROOT / "Dockerfile").read_text()
    for target, image in built.items():
        assert re.search(rf"^FROM \S+ AS {target}$", dockerfile, re.MULTILINE)
        assert f'image.title="{image}"' in dockerfile
    text = yaml.safe_dump(release)
    assert set(re.findall(r"\b[a-z0-9-]+\.(?:io|com|org)\b", text)) <= {"ghcr.io", "pypi.org"}


def test_everything_that_publishes_waits_for_the_checks() -> None:
    jobs = workflow("release")["jobs"]

    def before(name: str) -> set[str]:
        needs = jobs[name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*map(before, direct)) if direct else direct

    assert jobs["ci"]["uses"] == "$/.github/workflows/ci.yaml"
    for name in ("images", "package", "chart", "github", "pypi"):
        assert {"check", "ci"} <= before(name), name
