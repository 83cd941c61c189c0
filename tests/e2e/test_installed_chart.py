"""The chart's own release on a real API server: installed, upgraded and rolled back in mid-job, uninstalled.

The local cluster has no Deployments. Here the real controllers run the chart's Deployment, the process
kubelet runs the operator's pod under its service account, and helm does what a user does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import Cluster
from tests.e2e.harness import CHART, Job, Stage, free_port, node_of, simulated_spec, write_source

pytestmark = pytest.mark.skipif(
    os.environ.get("REPHRASE_REAL_CLUSTER") != "1",
    reason="needs a real API server's controllers: set KUBECONFIG and REPHRASE_REAL_CLUSTER=1",
)

RELEASE = "rephrase-operator"
APP_VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]


class Release:
    """A release of the chart in a namespace of its own, which is also the one that it watches."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def helm(self, *words: str) -> str:
        """helm in the release's namespace, waiting for what it changes."""
        command = ["helm", "--kubeconfig", str(self.stage.cluster.kubeconfig), "-n", self.stage.namespace]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + self.stage.kubectl("describe", "pods", check=False).stdout
        return done.stdout

    def install(self) -> None:
        values = {
            "worker.acceleratorResource": "",
            "worker.allowLocalPaths": "true",
            "worker.image.tag": "first",
            # Pods are processes of one machine: the operator's port must be free on it.
            "metrics.port": str(self.stage.port),
            "watchNamespaces": f"{{{self.stage.namespace}}}",
        }
        flags = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        self.helm("install", RELEASE, str(CHART), "--create-namespace", "--wait", "--timeout=120s", *flags)

    def operator_pods(self) -> set[str]:
        found = self.stage.get("pods", "-l", "app.kubernetes.io/name=rephrase-operator")["items"]
        return {pod["metadata"]["uid"] for pod in found if "deletionTimestamp" not in pod["metadata"]}


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    cluster = Cluster.of(Path(os.environ["KUBECONFIG"]))
    namespace = f"installed-{os.getpid()}"
    stage = Stage(cluster, tmp_path, namespace, True, free_port())
    with node_of(cluster, tmp_path / "kubelet", namespace):
        try:
            yield Release(stage)
        finally:
            words = ("uninstall", RELEASE, "-n", namespace, "--ignore-not-found")
            subprocess.run(["helm", "--kubeconfig", str(cluster.kubeconfig), *words], check=True)
            cluster.kubectl("delete", "rephrasejobs,jobs", "--all", "-n", namespace, timeout=150, check=False)
            cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", timeout=150, check=False)


def long_job(stage: Stage, folder: Path, name: str) -> Job:
    """Two shards of a minute and a half each, rephrased side by side."""
    write_source(folder / name / "in", 80)
    spec = simulated_spec(folder / name, per_shard=40, token_seconds=0.3, parallelism=2)
    return Job(stage, name, folder / name, spec).apply()


def identities(objects: list[dict[str, Any]]) -> set[str]:
    return {found["metadata"]["uid"] for found in objects}


def test_a_release_is_upgraded_rolled_back_and_removed_without_a_restart_in_its_jobs(
    release: Release, tmp_path: Path
) -> None:
    stage = release.stage
    release.install()
    said = release.helm("test", RELEASE, "--logs", "--timeout=300s")
    assert "SUCCEEDED: 10 documents" in said
    job = long_job(stage, tmp_path, "books")
    workers = identities(job.wait_workers(2))
    first = release.operator_pods()

    # Another worker image, another log level: a running job keeps its own, and its workers go on.
    changed = ("--set", "worker.image.tag=second", "--set", "logLevel=debug")
    upgrade = ("upgrade", RELEASE, str(CHART), "--reset-then-reuse-values", "--wait", "--timeout=120s")
    release.helm(*upgrade, *changed)
    second = release.operator_pods()
    # The hook that upgrades the CRD has run, and nothing of it is left.
    crd = stage.get("crd/rephrasejobs.rephrase.dev")
    assert crd["metadata"]["annotations"]["rephrase.dev/version"] == APP_VERSION
    accounts = {found["metadata"]["name"] for found in stage.get("serviceaccounts")["items"]}
    assert accounts == {"default", RELEASE}
    assert not first & second
    assert identities(job.workers()) == workers

    release.helm("rollback", RELEASE, "1", "--wait", "--timeout=120s")
    assert not second & release.operator_pods()
    assert identities(job.workers()) == workers

    job.wait_phase("Succeeded")
    job.check_account(80)
    status = job.status()
    assert status["workerImage"].endswith(":first")
    assert "attempts" not in status or not status["attempts"]["failed"]
    made = stage.get("pods", "-l", "rephrase.dev/job=books,rephrase.dev/step=generate")["items"]
    assert identities(made) == workers

    # Without an operator a running job goes on; a new release finishes it.
    other = long_job(stage, tmp_path, "poems")
    left = identities(other.wait_workers(2))
    release.helm("uninstall", RELEASE, "--wait", "--timeout=120s")
    assert not release.operator_pods()
    assert identities(other.workers()) == left
    assert job.status()["phase"] == "Succeeded"
    release.install()
    other.wait_phase("Succeeded")
    other.check_account(80)
