"""`kubectl delete namespace` with jobs in it: the namespace goes, and soon."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Job, Stage, free_port, prepared, simulated_spec, write_source

GRACE_SECONDS = 15
"""Of a worker, as `simulated_spec` asks for."""


@pytest.fixture
def doomed(stage: Stage, tmp_path: Path) -> Iterator[Stage]:
    """A namespace to delete, with an operator of the whole cluster in another one."""
    stage.operator.stop()
    name = f"doomed-{uuid.uuid4().hex[:6]}"
    made = Stage(stage.cluster, tmp_path, name, stage.real, free_port(), home=f"{name}-operator")
    try:
        with prepared(made) as ready:
            yield ready
    finally:
        for namespace in (name, made.home):
            made.cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
        for kind in ("clusterrole", "clusterrolebinding"):
            made.cluster.kubectl("delete", kind, f"{made.home}:e2e-rephrase-operator", "--ignore-not-found")


def make_job(stage: Stage, folder: Path, name: str, **settings: object) -> Job:
    write_source(folder / name / "in", 300)
    spec = simulated_spec(folder / name, per_shard=100, token_seconds=0.05, **settings)
    return Job(stage, name, folder / name, spec).apply()


def test_a_namespace_with_running_and_suspended_jobs_goes(doomed: Stage, tmp_path: Path) -> None:
    running = make_job(doomed, tmp_path, "running", parallelism=2)
    stopped = make_job(doomed, tmp_path, "stopped")
    for job, workers in ((running, 2), (stopped, 1)):
        job.wait_workers(workers)
    stopped.patch(suspend=True)
    stopped.wait_phase("Suspended")
    doomed.cluster.kubectl("delete", "namespace", doomed.namespace, "--wait=false")
    gone = ("wait", f"namespace/{doomed.namespace}", "--for=delete", f"--timeout={4 * GRACE_SECONDS}s")
    doomed.cluster.kubectl(*gone, timeout=5 * GRACE_SECONDS)
