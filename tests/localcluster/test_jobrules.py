"""The Job rules as tables: what is there, and what is to be done about it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.clock import stamp
from localcluster.jobrules import FAILURES, INDEX, TRACKING, Plan, format_intervals, look, parse_intervals

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BASE = timedelta(seconds=10)
Object = dict[str, Any]


def make_job(status: Object | None = None, **spec: Any) -> Object:
    defaults: Object = {
        "completionMode": "Indexed",
        "completions": 4,
        "parallelism": 2,
        "backoffLimit": 2**31 - 1,
        "backoffLimitPerIndex": 3,
        "podReplacementPolicy": "TerminatingOrFailed",
        "suspend": False,
    }
    meta = {"name": "j", "namespace": "default", "uid": "u"}
    started = {"startTime": stamp(NOW - timedelta(minutes=1)), **(status or {})}
    return {"metadata": meta, "spec": {**defaults, **spec}, "status": started}


def make_pod(
    index: int, phase: str, *, code: int = 1, failures: int = 0, ago: float = 0, **meta: Any
) -> Object:
    notes = {INDEX: str(index), FAILURES: str(failures)}
    ended = {"exitCode": code, "finishedAt": stamp(NOW - timedelta(seconds=ago))}
    state = {"terminated": ended} if phase in ("Failed", "Succeeded") else {"running": {}}
    name = f"j-{index}-{phase}-{failures}"
    common = {
        "name": name,
        "namespace": "default",
        "uid": name,
        "annotations": notes,
        "finalizers": [TRACKING],
    }
    status = {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]}
    return {"metadata": {**common, **meta}, "status": status}


def plan(job: Object, *pods: Object) -> Plan:
    return look(job, list(pods), NOW, BASE)


@given(st.sets(st.integers(min_value=0, max_value=60)))
def test_intervals_are_written_and_read_back(numbers: set[int]) -> None:
    assert parse_intervals(format_intervals(numbers)) == numbers


def test_intervals_look_like_those_of_kubernetes() -> None:
    assert format_intervals({0, 1, 2, 5, 7, 8}) == "0-2,5,7,8"


def test_the_lowest_pending_indexes_start_first() -> None:
    assert list(plan(make_job({"completedIndexes": "0,2"})).create) == [1, 3]
    assert list(plan(make_job(), make_pod(1, "Running")).create) == [0]


@pytest.mark.parametrize(("ago", "starts"), [(5.0, False), (25.0, True)])
def test_an_index_waits_for_its_backoff_and_keeps_its_slot(ago: float, *, starts: bool) -> None:
    failed = make_pod(0, "Failed", failures=1, ago=ago)
    result = plan(make_job(parallelism=1), failed)
    assert list(result.create) == ([0] if starts else [])
    assert result.release == []
    assert result.again == ([] if starts else [timedelta(seconds=15)])
    if starts:
        assert result.create[0][FAILURES] == "2"
    raised = plan(make_job(parallelism=2), failed)
    assert 1 in raised.create


def test_the_last_failure_is_counted_once_its_successor_runs() -> None:
    result = plan(
        make_job(), make_pod(0, "Failed"), make_pod(0, "Running", failures=1), make_pod(1, "Running")
    )
    assert [pod["metadata"]["name"] for pod in result.release] == ["j-0-Failed-0"]
    assert result.status["failed"] == 1


def test_one_failure_too_many_loses_the_index() -> None:
    result = plan(make_job(backoffLimitPerIndex=1), make_pod(0, "Failed", failures=1))
    assert (result.status["failedIndexes"], result.status["failed"]) == ("0", 1)
    assert list(result.create) == [1, 2]


@pytest.mark.parametrize(
    ("rule", "code", "action"),
    [
        ({"onExitCodes": {"operator": "In", "values": [7]}}, 7, True),
        ({"onExitCodes": {"operator": "In", "values": [7]}}, 8, False),
        ({"onExitCodes": {"operator": "NotIn", "values": [7]}}, 8, True),
        ({"onExitCodes": {"operator": "In", "values": [7], "containerName": "other"}}, 7, False),
        ({"onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}, 7, False),
    ],
)
def test_the_first_rule_that_fits_decides(rule: Object, code: int, *, action: bool) -> None:
    policy = {"podFailurePolicy": {"rules": [{"action": "FailIndex", **rule}]}}
    result = plan(make_job(**policy), make_pod(0, "Failed", code=code))
    assert result.status["failedIndexes"] == ("0" if action else "")


def test_terminating_pods_keep_their_slot_when_only_failed_ones_are_replaced() -> None:
    leaving = make_pod(0, "Running", deletionTimestamp=stamp(NOW))
    assert list(plan(make_job(parallelism=1, podReplacementPolicy="Failed"), leaving).create) == []
    assert list(plan(make_job(parallelism=1, backoffLimitPerIndex=None), leaving).create) in ([0], [])


def test_suspending_deletes_pods_uncounted() -> None:
    result = plan(make_job(suspend=True), make_pod(0, "Running"), make_pod(1, "Running"))
    assert len(result.delete) == 2
    assert "failed" not in result.status
    assert result.status["conditions"][0]["type"] == "Suspended"


def test_less_parallelism_spares_running_pods_of_low_indexes() -> None:
    running = [make_pod(index, "Running") for index in range(3)]
    result = plan(make_job(parallelism=1), make_pod(3, "Pending"), *running)
    assert sorted(pod["metadata"]["name"][:3] for pod in result.delete) == ["j-1", "j-2", "j-3"]


def test_a_verdict_waits_for_the_last_pod() -> None:
    leaving = make_pod(3, "Running", deletionTimestamp=stamp(NOW))
    done = make_job({"completedIndexes": "0-3", "succeeded": 4})
    assert [one["type"] for one in plan(done, leaving).status["conditions"]] == ["SuccessCriteriaMet"]
    assert [one["type"] for one in plan(done).status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
