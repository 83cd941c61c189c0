"""`helm test`: the chart's test pod, under its own account, from ten documents to a recounted dataset."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from localcluster.podspec import TOKENS
from tests.e2e.harness import CHART, Stage

TEST = "e2e-rephrase-operator-test"
MADE = ("rephrasejobs", "jobs", "pods", "persistentvolumeclaims")
OWN = "app.kubernetes.io/managed-by=rephrase-selftest"


def rendered(stage: Stage, *values: str) -> list[dict[str, Any]]:
    """What helm makes for `helm test`, in its order."""
    words = ["helm", "template", "e2e", str(CHART), "-n", stage.home, "-s", "templates/tests/selftest.yaml"]
    words += [
        word for value in (f"watchNamespaces={{{stage.namespace}}}", *values) for word in ("--set", value)
    ]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found: list[dict[str, Any]] = [one for one in yaml.safe_load_all(text) if one]
    return found


def with_token(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod as a real API server admits it: the local one does not mount tokens by itself."""
    spec = pod["spec"]
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    spec["volumes"] = [{"name": "token", "projected": {"sources": [source]}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "token", "mountPath": TOKENS, "readOnly": True}]
    return pod


@pytest.fixture
def helm_test(stage: Stage) -> Iterator[Any]:
    """Does as `helm test` does; returns the pod's phase and its log."""

    def run(*values: str) -> tuple[str, str]:
        *account, pod = rendered(stage, *values)
        stage.apply(*account, pod if stage.real else with_token(pod))
        ended = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
        stage.wait(f"pod/{TEST}", ended)
        found = stage.get(f"pod/{TEST}")
        return found["status"]["phase"], stage.kubectl("logs", TEST).stdout

    yield run
    stage.kubectl("delete", f"pod/{TEST}", "--ignore-not-found")


def test_ten_documents_go_through_and_nothing_is_left(stage: Stage, helm_test: Any) -> None:
    # What an earlier test has left, because it was killed.
    left = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {"accessModes": ["ReadWriteOnce"]}}
    left["metadata"] = {"name": "rephrase-selftest", "namespace": stage.namespace}
    left["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "rephrase-selftest"}
    left["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    stage.apply(left)
    phase, log = helm_test("test.timeoutSeconds=300")
    assert phase == "Succeeded", log
    assert "SUCCEEDED: 10 documents, 20 texts, 0 errors." in log
    for kind in MADE:
        assert stage.get(kind, "-l", OWN)["items"] == []
