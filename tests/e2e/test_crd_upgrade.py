"""The CRD is upgraded under the permissions of the chart's hook, which allow that and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rephrase_operator.api import crd
from tests.e2e.harness import CHART, Stage

NAME = "rephrasejobs.rephrase.dev"
COLUMN = {"name": "Old", "type": "string", "jsonPath": ".status.phase"}


@pytest.fixture
def hook(shared_stage: Stage, tmp_path: Path) -> Iterator[Stage]:
    """A stage whose account is that of the hook."""
    stage = Stage(shared_stage.cluster, tmp_path, shared_stage.namespace, shared_stage.real, port=0)
    template = ("helm", "template", f"upgrade-{os.getpid()}", str(CHART), "-n", stage.home)
    rendered = subprocess.run(
        [*template, "-s", "templates/crd-upgrade.yaml"], check=True, capture_output=True, text=True
    ).stdout
    objects = [each for each in yaml.safe_load_all(rendered) if each and each["kind"] != "Job"]
    stage.grant(objects)
    yield stage
    for each in objects:
        where = ["-n", stage.home] if "namespace" in each["metadata"] else []
        stage.cluster.kubectl(*where, "delete", each["kind"], each["metadata"]["name"])


def upgrade(stage: Stage) -> subprocess.CompletedProcess[str]:
    """What the hook's Job runs."""
    command = [sys.executable, "-m", "rephrase_operator.cli", "upgrade-crds"]
    environment = os.environ | {"KUBECONFIG": str(stage.operator_config)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def change(stage: Stage, version: str | None) -> None:
    """Make the CRD in the cluster that of another version; None: of one that did not say."""
    versions = crd.build()["spec"]["versions"]
    columns = [*versions[0]["additionalPrinterColumns"], COLUMN]
    patch: dict[str, Any] = {"metadata": {"annotations": {crd.VERSION_ANNOTATION: version}}}
    patch["spec"] = {"versions": [versions[0] | {"additionalPrinterColumns": columns}]}
    stage.cluster.kubectl("patch", "crd", NAME, "--type=merge", "-p", json.dumps(patch))


def columns(stage: Stage) -> list[str]:
    found = stage.cluster.get("crd", NAME)["spec"]["versions"][0]["additionalPrinterColumns"]
    return [column["name"] for column in found]


def test_the_hook_replaces_an_older_crd_keeps_a_newer_one_and_may_do_nothing_else(hook: Stage) -> None:
    ours = crd.version_of(crd.build())
    change(hook, "99.0.0")
    done = upgrade(hook)
    assert (done.returncode, "Old" in columns(hook)) == (0, True), done.stderr
    assert "stays that of version 99.0.0" in done.stdout

    change(hook, None)
    done = upgrade(hook)
    assert (done.returncode, "Old" in columns(hook)) == (0, False), done.stderr
    assert crd.version_of(hook.cluster.get("crd", NAME)) == ours

    may_not = subprocess.run(
        ["kubectl", "--kubeconfig", str(hook.operator_config), "delete", "crd", NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'cannot delete resource "customresourcedefinitions"' in may_not.stderr


def test_an_account_that_may_not_is_told_what_an_administrator_can_do(shared_stage: Stage) -> None:
    done = upgrade(shared_stage)
    assert done.returncode == 1
    assert "cannot get resource" in done.stderr
    assert "kubectl apply --server-side --force-conflicts -f crds/" in done.stderr
    assert "Traceback" not in done.stderr
