"""What is read from Jobs and pods, whoever made them."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_operator.observed.views import (
    ANNOTATION_GPUS,
    CONTAINER,
    LABEL_INDEX,
    LABEL_JOB,
    view_job,
    view_pod,
)

META = {"namespace": "default", "name": "x", "uid": "x", "creationTimestamp": "2026-01-01T12:00:00Z"}


def pod(*, index: str = "3", **status: Any) -> dict[str, Any]:
    return {"metadata": META | {"labels": {LABEL_JOB: "books", LABEL_INDEX: index}}, "status": status}


def test_the_index_is_the_shard() -> None:
    assert view_pod(pod()).index == 3


@pytest.mark.parametrize("index", ["", "abc", "-1", "1.5", "9" * 63])
def test_a_stray_pod_with_our_label_harms_nobody(index: str) -> None:
    assert view_pod(pod(index=index)).index is None


def test_a_pods_node_is_known_once_it_has_one() -> None:
    assert view_pod(pod()).node == ""
    assert view_pod(pod() | {"spec": {"nodeName": "gpu-7"}}).node == "gpu-7"


def test_a_stray_job_with_our_label_harms_nobody() -> None:
    notes = {ANNOTATION_GPUS: "many"}
    assert view_job({"metadata": META | {"labels": {LABEL_JOB: "books"}, "annotations": notes}}).gpus == 0


def test_a_container_that_somebody_injected_does_not_speak_for_the_worker() -> None:
    ended = {
        "exitCode": 65,
        "message": "{}",
        "startedAt": "2026-01-01T12:00:00Z",
        "finishedAt": "2026-01-01T12:01:00Z",
    }
    states = {"istio-proxy": {"running": {}}, CONTAINER: {"terminated": ended}}
    statuses = [{"name": name, "state": state} for name, state in states.items()]
    view = view_pod(pod(phase="Failed", containerStatuses=statuses))
    assert (view.exit_code, view.termination) == (65, "{}")


def test_a_pod_that_was_taken_away_before_it_had_started_has_not_failed() -> None:
    # Scaling down, suspending or kubectl delete, while the image was pulled.
    lost = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None}}
    gone = pod(phase="Failed", containerStatuses=[{"name": CONTAINER, "state": lost}])
    assert view_pod(gone).counts_as_failure
    gone["metadata"] = gone["metadata"] | {"deletionTimestamp": "2026-01-01T12:01:00Z"}
    assert not view_pod(gone).counts_as_failure
