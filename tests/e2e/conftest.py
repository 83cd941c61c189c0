"""Fixtures of the e2e tests: one cluster and one operator a test process, one folder a job."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ROOT, Job, Stage, make_stage, simulated_spec, write_source

_numbers = itertools.count()


@pytest.fixture(scope="session")
def shared_stage(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        # Where set-up puts helm, kubectl and the worker's command, also for a plain `pytest`.
        folders = [str(ROOT / ".cache" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        patch.setenv("PATH", os.pathsep.join(folders))
        with make_stage(tmp_path_factory.mktemp("stage"), worker_id) as stage:
            yield stage


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    """The cluster with the operator running, also after a test that killed it."""
    shared_stage.operator.start()
    return shared_stage


@pytest.fixture
def make_job(stage: Stage, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Makes jobs of the simulated engine, with documents. Removes them when the test ends."""
    made: list[Job] = []

    def make(*, documents: int = 12, **settings: Any) -> Job:
        name = f"job-{next(_numbers)}"
        folder = tmp_path / name
        write_source(folder / "in", documents)
        job = Job(stage, name, folder, simulated_spec(folder, **settings))
        made.append(job)
        return job

    yield make
    for job in made:
        stage.kubectl("delete", job.reference, "--ignore-not-found", "--wait=false")
