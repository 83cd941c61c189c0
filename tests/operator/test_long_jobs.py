"""Jobs of many hours end right: few GPUs, long suspensions, a hundred shards that fail.

Each runs minute by minute in virtual time, with a pass of `reconcile` a minute.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from rephrase_operator.api.status import Phase
from rephrase_operator.observed.views import Step
from tests.operator.builders import START, World, spec_of
from tests.operator.fleet import Fleet

DEADLINE = timedelta(minutes=30)
"""The default of failurePolicy.pendingDeadlineSeconds."""


def planned(shards: int, *, gpus: int, **changes: object) -> Fleet:
    """A job whose workers can start now."""
    return Fleet(World(raw=spec_of(**changes)).planned(shards=shards), gpus=gpus)


def succeeds(fleet: Fleet, shards: int) -> None:
    """The job goes on to its end, and counts each shard once."""
    assert fleet.world.phase is Phase.FINALIZING, fleet.world.status.message
    assert fleet.world.status.account is not None
    assert fleet.world.status.account.documents == shards * 10
    samples = {"documents": shards * 10, "samples_text": shards * 20}
    assert fleet.world.finalized(**samples).phase is Phase.SUCCEEDED


def fails_after_finalizing(fleet: Fleet, *, missing: int) -> None:
    """What there is becomes a dataset first; the job has failed all the same."""
    assert fleet.world.phase is Phase.FINALIZING, fleet.world.status.message
    shards = fleet.world.status.shards
    assert shards is not None
    assert shards.failed == missing
    samples = {"documents": shards.total * 10, "samples_text": shards.succeeded * 20}
    fleet.world.finalized(**samples, samples_missing=missing * 20)
    assert fleet.world.phase is Phase.FAILED
    assert fleet.world.reason("Failed") == "True/ShardsFailed"
    assert f"{missing} of {shards.total}" in (fleet.world.status.message or "")


@pytest.mark.parametrize("workers", [2, 5])
def test_more_workers_than_gpus_take_turns(workers: int) -> None:
    fleet = planned(6, gpus=1, parallelism=workers).run(hours=24)
    assert fleet.world.now - START >= timedelta(hours=6)
    assert fleet.seen == ["Running", "Finalizing"]
    succeeds(fleet, 6)


def test_a_worker_that_waits_beside_one_that_runs_is_shown() -> None:
    fleet = planned(2, gpus=1, parallelism=2).run(hours=0.9)
    assert fleet.world.reason("WorkersReady").startswith("True/")
    assert "Insufficient nvidia.com/gpu" in (fleet.world.status.message or "")


@pytest.mark.parametrize(
    "pause", [{"suspend": True}, {"parallelism": 0}], ids=["suspended", "scaled to zero"]
)
@pytest.mark.parametrize("gpus_back_after_minutes", [0, 25])
def test_hours_without_workers_on_purpose_count_for_nothing(
    pause: dict[str, object], gpus_back_after_minutes: int
) -> None:
    fleet = planned(4, gpus=2, parallelism=2).run(hours=0.5)
    fleet.world.edit(**pause)
    fleet.run(hours=9)
    assert fleet.world.phase is not Phase.FAILED
    # An autoscaler had taken the nodes away and needs a while to bring them back.
    fleet.gpus = 0
    fleet.world.edit(suspend=False, parallelism=2)
    fleet.run(hours=gpus_back_after_minutes / 60)
    fleet.gpus = 2
    fleet.run(hours=24)
    succeeds(fleet, 4)


def test_suspending_while_workers_wait_for_a_gpu_starts_the_deadline_anew() -> None:
    fleet = planned(2, gpus=0).run(hours=0.4)
    fleet.world.edit(suspend=True)
    fleet.run(hours=5)
    fleet.world.edit(suspend=False)
    fleet.run(hours=0.4)
    assert fleet.world.phase is Phase.RUNNING
    fleet.gpus = 2
    fleet.run(hours=24)
    succeeds(fleet, 2)


@pytest.mark.parametrize("hours_suspended", [0, 9])
def test_without_any_gpu_the_job_fails_when_its_deadline_is_over(hours_suspended: int) -> None:
    fleet = planned(2, gpus=0)
    if hours_suspended:
        fleet.world.edit(suspend=True)
        fleet.run(hours=hours_suspended)
        fleet.world.edit(suspend=False)
    since = fleet.world.now
    fleet.run(hours=24)
    assert fleet.world.phase is Phase.FAILED
    assert fleet.world.reason("Failed") == "True/PendingDeadlineExceeded"
    assert DEADLINE <= fleet.world.now - since <= DEADLINE + timedelta(minutes=3)


def test_gpus_that_go_for_good_fail_the_job_half_an_hour_later() -> None:
    fleet = planned(4, gpus=2, parallelism=2).run(hours=1.5)
    for pod in [pod for pod in fleet.world.pods if pod.live]:
        assert pod.index is not None
        fleet.world.pods.remove(pod)
    fleet.gpus, gone = 0, fleet.world.now
    fleet.run(hours=24)
    assert fleet.world.phase is Phase.FAILED
    assert DEADLINE <= fleet.world.now - gone <= DEADLINE + timedelta(minutes=3)


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_hundred_failing_shards_end_in_a_failed_job(attempts: int) -> None:
    fleet = planned(100, gpus=20, parallelism=20, failurePolicy={"maxAttemptsPerShard": attempts})
    fleet.fails = lambda _shard: True
    fleet.run(hours=24)
    assert fleet.world.phase is Phase.FAILED
    assert fleet.world.reason("Failed") == "True/ShardsFailed"
    assert fleet.world.status.shards is not None
    assert (fleet.world.status.shards.succeeded, fleet.world.status.shards.failed) == (0, 100)
    assert "100" in (fleet.world.status.message or "")
    assert "EngineFailed" in (fleet.world.status.message or "")


def test_a_job_with_a_hundred_failing_shards_is_finalized_before_it_fails() -> None:
    fleet = planned(130, gpus=20, parallelism=20, failurePolicy={"maxAttemptsPerShard": 2})
    fleet.fails = lambda shard: shard % 13 < 10
    fleet.run(hours=24)
    assert fleet.world.status.shards is not None
    assert (fleet.world.status.shards.succeeded, fleet.world.status.shards.failed) == (30, 100)
    fails_after_finalizing(fleet, missing=100)


def test_suspending_in_between_gives_failing_shards_no_further_attempts() -> None:
    fleet = planned(100, gpus=20, parallelism=20, failurePolicy={"maxAttemptsPerShard": 3})
    fleet.fails = lambda _shard: True
    tried = 0
    while fleet.world.phase is Phase.RUNNING:
        fleet.run(hours=0.1)
        if fleet.world.phase is Phase.RUNNING:
            fleet.world.edit(suspend=True)
            fleet.run(hours=0.1)
            fleet.world.edit(suspend=False)
            fleet.run(hours=1 / 60)
        tried += 1
        assert tried < 100, "shards are tried for ever"
    assert fleet.world.reason("Failed") == "True/ShardsFailed"


def test_too_many_failed_shards_end_the_job_early() -> None:
    fleet = planned(
        200, gpus=20, parallelism=20, failurePolicy={"maxAttemptsPerShard": 1, "maxFailedShards": 99}
    )
    fleet.fails = lambda shard: shard >= 20
    fleet.run(hours=24)
    assert Step.GENERATE in fleet.world.jobs
    assert fleet.world.jobs[Step.GENERATE].failed_reason == "MaxFailedIndexesExceeded"
    fails_after_finalizing(fleet, missing=180)
