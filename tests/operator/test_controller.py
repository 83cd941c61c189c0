"""Passes against an API server that conflicts, refuses and fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rephrase_operator.cluster.kube import ApiError
from rephrase_operator.runtime import controller as controller_module
from rephrase_operator.runtime.controller import Controller
from rephrase_operator.runtime.metrics import Metrics
from rephrase_operator.settings import Settings
from tests.operator.builders import spec_of
from tests.operator.fake_kube import FakeKube

JOB = "/apis/rephrase.dev/v1alpha1/namespaces/default/rephrasejobs/books"
CONFIG = "/api/v1/namespaces/default/configmaps/books-recipe"
GENERATE = "/apis/batch/v1/namespaces/default/jobs/books-generate"
PLAN = "/apis/batch/v1/namespaces/default/jobs/books-plan"


class Bench:
    def __init__(self, *, house: Path | None = None, **spec: Any) -> None:
        self.kube = FakeKube()
        connection: Any = self.kube
        self.metrics = Metrics()
        self.controller = Controller(connection, Settings(progress_seconds=0.01, prompts=house), self.metrics)
        metadata = {
            "namespace": "default",
            "name": "books",
            "uid": "uid-1",
            "generation": 1,
            "creationTimestamp": "2026-01-01T12:00:00Z",
        }
        self.raw = self.kube.store(JOB, {"metadata": metadata, "spec": spec_of(**spec)})

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kube.objects[JOB].get("status", {})
        return found

    def reason(self, kind: str) -> str:
        held = {found["type"]: found["reason"] for found in self.status.get("conditions", ())}
        return held.get(kind, "")

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something to be true; it is looked at after every request."""
        async with asyncio.timeout(10):
            while not reached():
                await self.kube.done.get()
                await asyncio.sleep(0)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = asyncio.create_task(bench.controller.run())
    bench.controller.put(bench.raw)
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_module, "FIRST_RETRY_SECONDS", 0.0)


def posted(bench: Bench, kind: str) -> list[dict[str, Any]]:
    return [found for path, found in bench.kube.objects.items() if f"/{kind}/" in path]


async def test_a_job_is_started_in_the_right_order() -> None:
    async with running(Bench()) as bench:
        await bench.until(lambda: PLAN in bench.kube.objects)
        writes = [
            (method, path.rpartition("/")[2]) for method, path in bench.kube.requests if method != "GET"
        ]
        assert writes.index(("PATCH", "status")) < writes.index(("POST", "configmaps"))
        assert writes.index(("POST", "configmaps")) < writes.index(("POST", "jobs"))
        owner = bench.kube.objects[PLAN]["metadata"]["ownerReferences"][0]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("uid-1", True, True)


async def test_jobs_can_name_the_prompts_of_a_folder_and_a_broken_one_stops_only_them(tmp_path: Path) -> None:
    (tmp_path / "haiku.md").write_text("{{document}}\n\nSum it up in a haiku.")
    (tmp_path / "wrong.md").write_text("---\ntitle: [\n---\nGo.")
    async with running(Bench(house=tmp_path, prompts=[{"name": "haiku"}])) as bench:
        await bench.until(lambda: PLAN in bench.kube.objects)
        assert "Sum it up in a haiku." in bench.kube.objects[CONFIG]["data"]["recipe.json"]
    async with running(Bench(house=tmp_path, prompts=[{"name": "wrong"}])) as bench:
        await bench.until(lambda: bench.reason("Accepted") == "InvalidPrompt")
        assert PLAN not in bench.kube.objects


async def test_events_are_posted_after_the_status_that_they_report() -> None:
    async with running(Bench()) as bench:
        await bench.until(lambda: bool(posted(bench, "events")))
        (event,) = posted(bench, "events")
        assert event["reason"] == "Planning"
        assert event["involvedObject"]["uid"] == "uid-1"
        writes = [path for method, path in bench.kube.requests if method in ("PATCH", "POST")]
        assert writes.index(f"{JOB}/status") < writes.index("/api/v1/namespaces/default/events")


async def test_a_status_that_somebody_else_has_changed_is_read_again() -> None:
    bench = Bench()
    bench.kube.store(JOB, bench.raw)  # Newer than what the controller is given.
    async with running(bench):
        await bench.until(lambda: PLAN in bench.kube.objects)
        assert bench.status["phase"] == "Planning"


async def test_nothing_is_done_before_the_status_that_it_relies_on_is_written() -> None:
    """The write of the status meets a conflict: what was decided is neither done nor lost."""
    bench = Bench()
    async with running(bench):
        await bench.until(lambda: PLAN in bench.kube.objects)
    conflict = ApiError(409, "Conflict", "the object has been modified")
    again = Bench()
    started = bench.kube.objects[JOB]
    plan = {"kind": "plan", "shards": 1, "documents": 10}
    again.raw = again.kube.store(JOB, started | {"status": started["status"] | {"plan": plan}})
    again.kube.store(CONFIG, bench.kube.objects[CONFIG] | {"data": {"recipe.json": "", "engine.json": "{}"}})
    again.kube.fail["PATCH status"] = [conflict, conflict]
    async with running(again):
        await again.until(lambda: GENERATE in again.kube.objects)
        done = [
            (method, path.rpartition("/")[2])
            for method, path in again.kube.requests
            if method in ("PATCH", "POST")
        ]
        assert done[:3] == [("PATCH", "status")] * 3
        assert ("POST", "jobs") in done[3:]


async def test_a_job_that_the_api_server_refuses_is_explained_and_tried_again() -> None:
    bench = Bench()
    quota = ApiError(403, "Forbidden", "exceeded quota: count/jobs.batch=10")
    bench.kube.fail["POST jobs"] = [quota, quota]
    async with running(bench):
        await bench.until(lambda: bench.reason("WorkersReady") == "Refused")
        assert "exceeded quota" in bench.status["message"]
        bench.controller.put(bench.kube.objects[JOB])
        await bench.until(lambda: PLAN in bench.kube.objects)


async def test_a_job_of_somebody_else_is_never_adopted() -> None:
    bench = Bench()
    bench.kube.store(PLAN, {"metadata": {"namespace": "default", "name": "books-plan"}, "spec": {}})
    async with running(bench):
        await bench.until(lambda: bench.reason("Accepted") == "WaitingForOldChildren")
        assert bench.kube.objects[PLAN]["spec"] == {}


@pytest.mark.parametrize("error", [ApiError(500, "", "etcd"), ConnectionResetError(), ValueError("a defect")])
async def test_a_pass_that_fails_is_counted_and_made_again(error: Exception) -> None:
    bench = Bench()
    bench.kube.fail["PATCH status"] = [error]
    async with running(bench):
        await bench.until(lambda: PLAN in bench.kube.objects)
        assert b"rephrase_operator_reconcile_errors_total 1.0" in bench.metrics.exposition()


async def test_an_event_that_can_not_be_posted_stops_nothing() -> None:
    bench = Bench()
    bench.kube.fail["POST events"] = [ApiError(403, "Forbidden", "namespace is terminating")]
    async with running(bench):
        await bench.until(lambda: PLAN in bench.kube.objects)


async def test_health_is_a_matter_of_the_api_server_being_heard_of() -> None:
    bench = Bench()
    assert bench.controller.trouble() == ""
    bench.controller.start_watching()
    assert bench.controller.trouble() == ""


async def test_nothing_is_made_for_a_job_whose_deletion_was_missed() -> None:
    bench = Bench()
    async with running(bench):
        await bench.until(lambda: PLAN in bench.kube.objects)
    again = Bench()
    again.raw = again.kube.store(JOB, bench.kube.objects[JOB])
    async with running(again):
        del again.kube.objects[JOB]  # While the watch was broken: 410 Gone, and everything is listed anew.
        await again.until(lambda: ("GET", JOB) in again.kube.requests)
        await asyncio.sleep(0)
        assert not again.kube.objects
        assert b'job="books"' not in again.metrics.exposition()


async def test_the_metrics_of_a_finished_job_whose_deletion_was_missed_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controller_module, "RESYNC_SECONDS", 0.01)
    bench = Bench()
    bench.raw = bench.kube.store(JOB, bench.raw | {"status": {"phase": "Succeeded", "observedGeneration": 1}})
    async with running(bench):
        del bench.kube.objects[JOB]
        await bench.until(lambda: ("GET", JOB) in bench.kube.requests)
        assert b'job="books"' not in bench.metrics.exposition()


async def test_an_outdated_event_of_the_watch_is_ignored() -> None:
    bench = Bench()
    old = bench.raw
    bench.raw = bench.kube.store(JOB, bench.raw | {"status": {"phase": "Succeeded", "observedGeneration": 1}})
    async with running(bench):
        bench.controller.put(old)
        assert b'phase="Succeeded"} 1.0' in bench.metrics.exposition()


async def test_a_deleted_job_is_forgotten_with_its_metrics() -> None:
    async with running(Bench()) as bench:
        await bench.until(lambda: bool(bench.status))
        bench.controller.drop("default", "books", "uid-1")
        assert b'job="books"' not in bench.metrics.exposition()


async def test_a_create_that_is_refused_because_the_namespace_ends_is_not_tried_again_and_again() -> None:
    bench = Bench()
    message = "jobs.batch is forbidden: the namespace is being terminated"
    bench.kube.fail["POST jobs"] = [ApiError(403, "Forbidden", message, ["NamespaceTerminating"])]
    async with running(bench):
        await bench.until(lambda: "namespace is being deleted" in bench.status.get("message", ""))
        assert bench.kube.requests.count(("POST", PLAN.rpartition("/")[0])) == 1
        assert PLAN not in bench.kube.objects
