"""The mirror of Jobs and pods: pages, watches, and what goes wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rephrase_operator.cluster import kube, mirror
from rephrase_operator.cluster.kube import ApiError
from rephrase_operator.cluster.mirror import Key, Mirror
from rephrase_operator.observed.views import JobView, view_job
from tests.operator.fake_kube import FakeKube

KEY = ("default", "books")


def job(name: str, version: int, *, uid: str = "", active: int = 0) -> dict[str, Any]:
    metadata = {
        "namespace": "default",
        "name": name,
        "uid": uid or name,
        "resourceVersion": str(version),
        "labels": {"rephrase.dev/job": "books", "rephrase.dev/step": name.rpartition("-")[2]},
    }
    return {"metadata": metadata, "spec": {"parallelism": active}, "status": {}}


def page(version: int, *items: dict[str, Any], following: str = "") -> dict[str, Any]:
    return {"items": list(items), "metadata": {"resourceVersion": str(version), "continue": following}}


class Bench:
    def __init__(self, *pages: dict[str, Any]) -> None:
        self.kube = FakeKube()
        self.kube.pages = list(pages)
        self.changes: asyncio.Queue[Key] = asyncio.Queue()
        connection: Any = self.kube
        self.mirror: Mirror[JobView] = Mirror(connection, kube.jobs(None), view_job, self.changes.put_nowait)

    def names(self) -> set[str]:
        return {view.name for view in self.mirror.of(KEY)}

    async def tell(self, kind: str, raw: dict[str, Any]) -> None:
        self.kube.events.put_nowait({"type": kind, "object": raw})
        await self.kube.events.join()


@asynccontextmanager
async def running(*pages: dict[str, Any]) -> AsyncIterator[Bench]:
    bench = Bench(*pages)
    task = asyncio.create_task(bench.mirror.run())
    await bench.mirror.synced.wait()
    yield bench
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_everything_is_listed_in_pages_before_it_counts_as_known() -> None:
    pages = page(9, job("books-plan", 1), following="more"), page(10, job("books-generate", 2))
    async with running(*pages) as bench:
        assert bench.names() == {"books-plan", "books-generate"}
        assert await bench.kube.watched.get() == "/apis/batch/v1/jobs@10"


async def test_changes_are_told_by_job() -> None:
    async with running(page(1)) as bench:
        await bench.tell("ADDED", job("books-plan", 2))
        assert await bench.changes.get() == KEY
        assert bench.names() == {"books-plan"}
        await bench.tell("DELETED", job("books-plan", 3))
        assert await bench.changes.get() == KEY
        assert bench.names() == set()


async def test_an_event_that_changes_nothing_of_interest_is_not_told() -> None:
    async with running(page(1, job("books-plan", 1))) as bench:
        await bench.changes.get()
        await bench.tell("MODIFIED", job("books-plan", 1))
        assert bench.changes.empty()


async def test_an_older_event_does_not_undo_a_write() -> None:
    async with running(page(1)) as bench:
        bench.mirror.remember(job("books-generate", 7, active=5))
        await bench.tell("MODIFIED", job("books-generate", 6, active=1))
        assert [view.parallelism for view in bench.mirror.of(KEY)] == [5]


async def test_the_end_of_an_old_object_does_not_remove_a_new_one_of_its_name() -> None:
    async with running(page(1)) as bench:
        bench.mirror.remember(job("books-plan", 7, uid="new"))
        await bench.tell("DELETED", job("books-plan", 6, uid="old"))
        assert bench.names() == {"books-plan"}


async def test_a_watch_that_is_too_old_starts_with_a_new_list(monkeypatch: Any) -> None:
    monkeypatch.setattr(mirror, "RETRY_SECONDS", 0)
    async with running(page(1, job("books-plan", 1)), page(5, job("books-finalize", 4))) as bench:
        bench.kube.events.put_nowait(ApiError(410, "Expired", "too old"))
        while bench.names() != {"books-finalize"}:
            await bench.changes.get()


async def test_a_broken_connection_is_made_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(mirror, "RETRY_SECONDS", 0)
    async with running(page(1), page(2, job("books-plan", 2))) as bench:
        bench.kube.events.put_nowait(ConnectionResetError())
        assert await bench.changes.get() == KEY


async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    async with running(page(1)) as bench:
        bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "42"}}}
        bench.kube.events.put_nowait(bookmark)
        bench.kube.events.put_nowait({})
        assert await bench.kube.watched.get() == "/apis/batch/v1/jobs@1"
        assert await bench.kube.watched.get() == "/apis/batch/v1/jobs@42"
