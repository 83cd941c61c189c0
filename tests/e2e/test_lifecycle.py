"""Jobs from kubectl apply to a dataset, and what people and machines do to them in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.harness import Job, Stage

MakeJob = Callable[..., Job]

SLOW = 0.05
"""Seconds a token: at this pace a worker makes about five samples a second, so that a shard of 40 documents
can be caught in the middle, also on a machine on which kubectl takes seconds."""


def test_a_job_becomes_a_complete_dataset_and_kubectl_tells_the_story(
    stage: Stage, make_job: MakeJob
) -> None:
    job = make_job(documents=9, per_shard=5).apply()
    stage.wait(job.reference, "condition=Complete")
    job.check_account(9)
    header, row = stage.kubectl("get", "rj", job.name).stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "SHARDS", "TOK/S", "ETA", "AGE"]
    assert row.split()[1:4] == ["Succeeded", "100%", "2/2"]
    progress = job.status()["progress"]
    assert (progress["documents"], progress["samplesText"], progress["samplesError"]) == (9, 18, 0)
    assert progress["outputTokens"] == sum(row["output_tokens"] for row in job.rows())
    described = stage.kubectl("describe", "rj", job.name).stdout
    for reason in ("Planning", "Planned", "Running", "Finalizing", "Succeeded"):
        assert reason in described.split("Events:")[1]
    series = stage.operator.metrics()
    assert series["rephrase_operator_leader"] == 1
    assert series['rephrase_operator_api_requests_total{code="201",method="POST"}'] >= 3
    labels = f'{{job="{job.name}",namespace="{stage.namespace}"'
    assert series[f'rephrase_job_phase{labels},phase="Succeeded"}}'] == 1
    assert series[f"rephrase_job_progress_ratio{labels}}}"] == 1


def test_suspending_stops_the_workers_and_resuming_finishes_the_rest(stage: Stage, make_job: MakeJob) -> None:
    job = make_job(documents=40, per_shard=40, token_seconds=SLOW).apply()
    job.wait_workers()
    job.patch(suspend=True)
    job.wait_phase("Suspended")
    assert job.workers() == []
    done = job.status()["progress"]["samplesText"]
    assert 0 < done < 80
    job.patch(suspend=False, worker=job.spec["worker"])
    stage.wait(job.reference, "condition=Complete")
    job.check_account(40)
    assert job.status().get("failures", []) == []


def test_scaling_changes_the_number_of_workers(stage: Stage, make_job: MakeJob) -> None:
    job = make_job(documents=600, per_shard=200, token_seconds=SLOW).apply()
    job.wait_workers()
    stage.kubectl("scale", job.reference, "--replicas=3")
    job.wait_until(lambda status: status["progress"]["workers"] == 3)
    assert stage.get(f"jobs/{job.name}-generate")["spec"]["parallelism"] == 3
    stage.kubectl("delete", job.reference)


@pytest.mark.parametrize("operator_down", [False, True])
def test_deleting_a_job_removes_every_child(stage: Stage, make_job: MakeJob, operator_down: bool) -> None:
    job = make_job(documents=600, per_shard=600, token_seconds=SLOW).apply()
    job.wait_workers()
    if operator_down:
        stage.operator.kill()
    assert {"Job", "Pod", "ConfigMap"} == {child.partition("/")[0] for child in job.children()}
    stage.kubectl("delete", job.reference, "--timeout=10s")
    job.wait_children_gone()


def test_a_killed_worker_costs_at_most_what_was_not_committed(stage: Stage, make_job: MakeJob) -> None:
    job = make_job(documents=40, per_shard=40, token_seconds=SLOW).apply()
    job.kill_worker()
    stage.wait(job.reference, "condition=Complete")
    job.check_account(40)
    (failure,) = job.status()["failures"]
    assert (failure["shard"], failure["attempts"], failure["failed"]) == (0, 1, False)
    assert "137" in failure["message"]


def test_an_engine_that_keeps_dying_ends_in_a_failed_shard_with_its_reason(
    stage: Stage, make_job: MakeJob
) -> None:
    job = make_job(documents=6, per_shard=6, failurePolicy={"maxAttemptsPerShard": 2})
    job.spec["worker"]["env"].append({"name": "REPHRASE_SIMULATED_DIE_AFTER", "value": "1"})
    job.apply()
    stage.wait(job.reference, "condition=Failed")
    condition = job.condition("Failed")
    assert condition["reason"] == "ShardsFailed"
    assert "EngineFailed" in condition["message"]
    assert job.status()["failures"][0]["attempts"] == 2


def test_kubectl_agrees_with_the_workers_counters(stage: Stage, make_job: MakeJob) -> None:
    # Far more than it can finish before it is deleted: the worker has to be there to be asked.
    job = make_job(documents=5000, per_shard=5000, token_seconds=SLOW).apply()
    (pod,) = job.wait_workers()
    rates = []
    for found in job.watch():
        said = job.ask_worker(pod)
        rates.append(said["tokensPerSecond"])
        if said["engineSeconds"] < 4:
            continue
        shown = float(stage.kubectl("get", "rj", job.name).stdout.splitlines()[1].split()[4])
        later = job.ask_worker(pod)
        assert min(said["tokensPerSecond"], later["tokensPerSecond"]) * 0.95 <= shown
        assert shown <= max(said["tokensPerSecond"], later["tokensPerSecond"]) * 1.05
        assert found["status"]["progress"]["etaSeconds"] > 0
        break
    stage.kubectl("delete", job.reference)
