"""Jobs from kubectl apply to a dataset, and what people do to them in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.e2e.harness import Job, Stage

MakeJob = Callable[..., Job]


def test_a_job_becomes_a_complete_dataset_and_kubectl_tells_the_story(
    stage: Stage, make_job: MakeJob
) -> None:
    job = make_job(documents=12).apply()
    stage.wait(job.reference, "condition=Complete")
    job.check_account(12)
    header, row = stage.kubectl("get", "rj", job.name).stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "SHARDS", "TOK/S", "ETA", "AGE"]
    assert row.split()[1:4] == ["Succeeded", "100%", "3/3"]
    status = job.status()
    assert status["progress"]["documents"] == 12
    assert status["progress"]["samplesText"] == 24
    assert status["progress"]["outputTokens"] == sum(row["output_tokens"] for row in job.rows())
    described = stage.kubectl("describe", "rj", job.name).stdout
    for reason in ("Planning", "Planned", "Running", "Finalizing", "Succeeded"):
        assert reason in described.split("Events:")[1]
    series = stage.operator.metrics()
    labels = f'{{job="{job.name}",namespace="{stage.namespace}"'
    assert series[f'rephrase_job_phase{labels},phase="Succeeded"}}'] == 1
    assert series[f"rephrase_job_progress_ratio{labels}}}"] == 1
    assert series["rephrase_operator_reconcile_errors_total"] == 0
