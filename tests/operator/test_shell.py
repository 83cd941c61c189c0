"""The small parts of the shell: patches, the queue, polling workers."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio import client
from rich.console import Console

from rephrase_operator.cluster.kube import UNREACHABLE, ApiError, Kube, merge_patch
from rephrase_operator.commands.display import line, screen
from rephrase_operator.observed.views import PodView
from rephrase_operator.runtime import polling
from rephrase_operator.runtime.polling import Poller
from rephrase_operator.runtime.statuswrite import material
from rephrase_operator.runtime.workqueue import WorkQueue
from rephrase_worker.spec import PROGRESS_LIMIT_BYTES, WORKER_PORT
from tests.operator.builders import START, World, shard_report
from tests.operator.fake_kube import merged

KEY = ("default", "books")

leaves = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
trees = st.recursive(
    st.dictionaries(st.sampled_from("abc"), leaves, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(leaves, inner), max_size=3),
    max_leaves=6,
)


@given(trees, trees)
def test_a_merge_patch_turns_the_old_into_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merged(old, merge_patch(old, new)) == new
    assert merge_patch(new, new) == {}


def test_progress_alone_can_wait_and_everything_else_can_not() -> None:
    world = World().planned().running(0, samples_text=4).run()
    before = world.status.to_api()
    world.running(0, samples_text=8).run()
    assert not material(before, world.status.to_api())
    world.fail_pod(0).run()
    assert material(before, world.status.to_api())


async def test_a_key_is_worked_on_by_one_at_a_time_and_not_forgotten() -> None:
    queue, key = WorkQueue(), ("default", "books")
    queue.add(key)
    queue.add(key)
    assert await queue.take() == key
    queue.add(key)
    second = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not second.done()
    queue.done(key)
    assert await second == key


async def test_the_earliest_time_that_was_asked_for_holds() -> None:
    queue = WorkQueue()
    queue.add(("default", "late"), delay=3600)
    queue.add(("default", "late"), delay=0)
    queue.add(("default", "late"), delay=7200)
    assert await queue.take() == ("default", "late")


async def test_the_depth_of_the_queue_is_what_is_due_and_not_in_work() -> None:
    queue = WorkQueue()
    for name in ("first", "second"):
        queue.add(("default", name))
    queue.add(("default", "late"), delay=3600)
    assert queue.depth() == 2
    await queue.take()
    assert queue.depth() == 1


async def test_every_request_to_the_api_server_is_reported_with_its_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=409 if request.method == "PUT" else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told: list[tuple[str, int | None]] = []
    async with Kube(
        client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    ) as kube:
        kube.observe = lambda method, status, _: told.append((method, status))
        await kube.request("GET", "/x")
        with pytest.raises(ApiError):
            await kube.request("PUT", "/x", body={})
        await runner.cleanup()
        with pytest.raises(UNREACHABLE):
            await kube.request("DELETE", "/x")
    assert told == [("GET", 200), ("PUT", 409), ("DELETE", None)]


@asynccontextmanager
async def worker(answer: Callable[[web.Request], web.Response], address: str) -> AsyncIterator[None]:
    app = web.Application()

    async def progress(request: web.Request) -> web.Response:
        return answer(request)

    app.router.add_get("/progress", progress)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, address, WORKER_PORT).start()
    try:
        yield
    finally:
        await runner.cleanup()


def pod_at(address: str) -> PodView:
    return PodView(
        namespace="default",
        name="w",
        uid="w",
        job="books",
        job_uid="uid-1",
        step="generate",
        index=0,
        phase="Running",
        ip=address,
        created=START,
    )


def own_address(part: int) -> str:
    """A loopback address that no other test process uses."""
    pid = os.getpid()
    return f"127.{100 + part}.{pid >> 8 & 255}.{pid & 255 or 1}"


async def poll(answer: Callable[[web.Request], web.Response], part: int) -> dict[str, Any]:
    address = own_address(part)
    poller = Poller(interval=timedelta(0), clock=lambda: START)
    try:
        async with worker(answer, address):
            return {uid: live.report for uid, live in (await poller.reports(KEY, [pod_at(address)])).items()}
    finally:
        await poller.close()


async def test_a_worker_is_asked_by_its_pods_address() -> None:
    report = shard_report(0, samples_text=7)
    assert await poll(lambda _: web.Response(text=report.to_json()), 1) == {"w": report}


async def test_answers_that_are_no_report_of_this_shard_are_dropped() -> None:
    assert await poll(lambda _: web.Response(text="hello"), 2) == {}
    assert await poll(lambda _: web.Response(status=500), 3) == {}
    assert await poll(lambda _: web.Response(text=shard_report(5).to_json()), 4) == {}
    assert await poll(lambda _: web.Response(text=" " * (PROGRESS_LIMIT_BYTES + 1)), 5) == {}


async def test_redirects_are_not_followed() -> None:
    asked = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(status=302, headers={"Location": "/progress"})

    assert await poll(answer, 6) == {}
    assert len(asked) == 1


async def test_a_worker_that_does_not_listen_yet_has_no_report() -> None:
    poller = Poller(interval=timedelta(0), clock=lambda: START)
    assert await poller.reports(KEY, [pod_at(own_address(7))]) == {}
    await poller.close()


async def test_workers_that_never_answer_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "ROUND_SECONDS", 0.05)
    asked: list[str] = []
    count, now = polling.AT_ONCE + 5, START

    async def silent(_: Poller, pod: PodView) -> None:
        asked.append(pod.uid)
        await asyncio.Event().wait()

    monkeypatch.setattr(Poller, "_ask", silent)
    poller = Poller(interval=timedelta(seconds=5), clock=lambda: now)
    pods = [replace(pod_at("10.0.0.1"), uid=f"w{number}") for number in range(count)]
    async with asyncio.timeout(5):
        assert await poller.reports(KEY, pods) == {}
        assert len(asked) == polling.AT_ONCE
        await poller.reports(KEY, pods)
        assert len(asked) == count, "those that were left out come first, the others after the interval"
        now += timedelta(seconds=5)
        await poller.reports(KEY, pods)
        assert len(asked) > count


def test_the_display_shows_progress_rates_and_failures() -> None:
    report = {"samples_text": 10, "output_tokens": 1000, "generated_tokens": 3000, "engine_seconds": 60.0}
    world = World().planned().running(0, tokens_per_second=50.0, **report)
    world.fail_pod(1).run()
    assert (
        line("books", world.status) == "books: Running, 30%, 14/30 documents, 0/3 shards, 50 tok/s, ETA 1m34s"
    )
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(screen("books", world.status))
    text = console.export_text()
    for part in (
        "books",
        "Running",
        "14/30",
        "1m34s",
        "EngineFailed: out of memory",
        "50 of 4677 expected",
        "baseline",
    ):
        assert part in text
