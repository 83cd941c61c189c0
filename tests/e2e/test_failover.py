"""Two operator processes: one works, the other one stands by and takes over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.harness import SECONDS, Job, Stage, free_port
from tests.e2e.operator_process import Operator
from tests.e2e.test_lifecycle import SLOW, MakeJob

LEASE = "lease/rephrase-operator"


@pytest.fixture
def standby(stage: Stage) -> Iterator[Operator]:
    """A second operator, as the chart's second replica."""
    operator = Operator(stage, free_port(), "standby")
    operator.start()
    wait_ready(operator)
    yield operator
    operator.kill()


def wait_ready(operator: Operator) -> None:
    """Wait until the operator's pod would be Ready."""
    end = time.monotonic() + SECONDS
    while not operator.healthy():
        assert time.monotonic() < end, operator.log.read_text()[-2000:]
        time.sleep(0.1)


def handover(stage: Stage, end: Callable[[], object], follower: Operator) -> list[dict[str, Any]]:
    """Contents of the Lease from before `end` is called until the follower holds it."""
    watching = stage.watch(LEASE)
    seen = [next(watching)["spec"]]
    end()
    for lease in watching:
        seen.append(lease["spec"])
        if lease["spec"].get("holderIdentity", "").startswith(f"{follower.name}_"):
            return seen
    raise AssertionError("unreachable")


def test_a_standby_takes_over_from_a_killed_leader_and_from_one_that_is_asked_to_end(
    stage: Stage, standby: Operator, make_job: MakeJob
) -> None:
    # By a handler: a process without one, as the first of its container, would not end before it is killed.
    assert standby.stop() == 0
    standby.start()
    wait_ready(standby)

    job = make_job(documents=40, per_shard=20, token_seconds=SLOW).apply()
    job.wait_workers()
    before, jobs = job.status(), uids(stage, job)
    assert not [series for series in standby.metrics() if series.startswith("rephrase_job_")]
    assert [series for series in stage.operator.metrics() if series.startswith("rephrase_job_")]

    *_, last, taken = handover(stage, stage.operator.kill, standby)
    assert last["holderIdentity"].startswith("operator_")
    waited = datetime.fromisoformat(taken["acquireTime"]) - datetime.fromisoformat(last["renewTime"])
    assert waited.total_seconds() >= last["leaseDurationSeconds"], "the leader might still have been at work"

    stage.operator.start()
    wait_ready(stage.operator)
    ended: list[int | None] = []
    *_, last, taken = handover(stage, lambda: ended.append(standby.stop()), stage.operator)
    assert ended == [0]
    assert "holderIdentity" not in last, "the next leader would have had to wait until the Lease expires"

    stage.wait(job.reference, "condition=Complete")
    job.check_account(40)
    after = job.status()
    assert after["startTime"] == before["startTime"]
    assert after["progress"]["documents"] == 40
    assert uids(stage, job).items() >= jobs.items()
    assert set(uids(stage, job)) == {f"{job.name}-{step}" for step in ("plan", "generate", "finalize")}
    told = [event for event in stage.get("events")["items"] if event["involvedObject"]["name"] == job.name]
    reasons = sorted(event["reason"] for event in told)
    assert reasons == sorted({"Planning", "Planned", "Running", "Finalizing", "Succeeded"}), (
        "each is told once"
    )


def uids(stage: Stage, job: Job) -> dict[str, str]:
    """The UIDs of the job's Jobs by name."""
    found = stage.get("jobs", "-l", f"rephrase.dev/job={job.name}")["items"]
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}
