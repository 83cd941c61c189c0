"""The operator process: it serves metrics and health first, then waits for the Lease, then works."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.cluster.leader import Lease, lead
from rephrase_operator.runtime import handlers
from rephrase_operator.runtime.controller import Controller
from rephrase_operator.runtime.metrics import Metrics
from rephrase_operator.settings import Settings

log = logging.getLogger(__name__)

CRD_RETRY_SECONDS = 2.0


async def serve(settings: Settings) -> None:
    """Run the operator until a signal. Raises LeadershipLostError when another one may have taken over."""
    stop = asyncio.Event()
    take_signals = partial(_take_signals, stop)
    take_signals()
    async with await Kube.connect() as connection:
        lease = Lease(
            connection,
            namespace=settings.lease_namespace,
            identity=settings.identity,
            seconds=settings.lease_seconds,
        )
        metrics = Metrics(leads=lambda: lease.held)
        connection.observe = metrics.asked
        controller = Controller(connection, settings, metrics)
        troubles = (lambda: lease.trouble, controller.trouble)
        runner = await _listen(settings.metrics_port, troubles, metrics)
        try:
            await _first_of(
                stop.wait(), lead(lease, lambda: _work(connection, controller, settings, take_signals))
            )
        finally:
            await runner.cleanup()


def _take_signals(stop: asyncio.Event) -> None:
    """Set an event when this process is asked to end.

    Also while it only waits for the Lease or the CRD: it may be the first process of its container, and the
    kernel ignores a SIGTERM to that one as long as the process has no handler for it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Run these at once until one of them ends, and end the others. Raises what the one that ended raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _work(
    connection: Kube, controller: Controller, settings: Settings, take_signals: Callable[[], None]
) -> None:
    await _wait_for_crd(connection, settings)
    controller.start_watching()
    # kopf takes the signals, and would wait in vain for tasks that are not its own before it ends.
    await _first_of(controller.run(), handlers.watch(controller, settings, take_signals))


async def _wait_for_crd(connection: Kube, settings: Settings) -> None:
    """Wait for the CRD. kopf looks for the resource only once, when it starts."""
    scope = settings.namespaces[0] if settings.namespaces else None
    while True:
        try:
            await connection.request("GET", kube.rephrase_jobs(scope), query={"limit": 1})
        except ApiError as error:
            if error.status != 404:
                log.warning("RephraseJobs can't be listed: %s", error)
            else:
                log.warning("waiting for the CRD: apply crds/ (%s)", error)
        except kube.UNREACHABLE as error:
            log.warning("the API server at %s does not answer: %s", connection.server, kube.plainly(error))
        else:
            return
        await asyncio.sleep(CRD_RETRY_SECONDS)


async def _listen(port: int, troubles: Sequence[Callable[[], str]], metrics: Metrics) -> web.AppRunner:
    async def health(_: web.Request) -> web.Response:
        # An answer proves that the event loop runs. The others know about everything else.
        trouble = "; ".join(filter(None, (tell() for tell in troubles)))
        return web.Response(status=503 if trouble else 200, text=f"{trouble or 'ok'}\n")

    async def exposition(_: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.exposition(), headers=headers)

    app = web.Application()
    app.router.add_get("/healthz", health)
    app.router.add_get("/metrics", exposition)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner
