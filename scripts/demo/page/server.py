"""Serves the page and what it shows: `python -m scripts.demo.page.server --port 8000 --prometheus URL`.

It listens on this machine alone. The browser asks this server and never Prometheus, so that there is one
origin, and the queries can only be those of the dashboard.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from dashboards.reading import filled
from scripts.demo.page import view
from scripts.demo.page.panels import Panel, sections
from scripts.demo.shell import CHART

STATIC = Path(__file__).resolve().parent / "static"
DASHBOARD = CHART / "dashboards" / "rephrase-job.json"
SECONDS = 10.0
"""Longest wait for an answer of Prometheus."""

PROMETHEUS: web.AppKey[str] = web.AppKey("prometheus", str)
CLOCK: web.AppKey[Callable[[], float]] = web.AppKey("clock")


def application(prometheus: str, clock: Callable[[], float] = time.time) -> web.Application:
    """The server; `prometheus` is the URL of its API, or empty where there is none."""
    app = web.Application()
    app[PROMETHEUS], app[CLOCK] = prometheus, clock
    app.router.add_get("/", _index)
    app.router.add_get("/data", _data)
    app.router.add_static("/static/", STATIC)
    return app


async def _index(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(STATIC / "index.html")


async def _data(request: web.Request) -> web.Response:
    """What the page shows: `range` is a name in view.RANGES, `job` is NAMESPACE/NAME."""
    name = request.query.get("range", "run")
    if name not in view.RANGES:
        raise web.HTTPBadRequest(text=f"range={name}: give one of {', '.join(view.RANGES)}")
    prometheus = request.app[PROMETHEUS]
    if not prometheus:
        return web.json_response({"state": "no-prometheus"})
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(prometheus, timeout=timeout) as session:
        try:
            shown = await _shown(session, name, request.query.get("job", ""), request.app[CLOCK]())
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.json_response({"state": "unreachable", "error": str(error) or type(error).__name__})
    return web.json_response({**shown, "prometheus": prometheus})


async def _shown(session: aiohttp.ClientSession, name: str, key: str, now: float) -> dict[str, Any]:
    runs = view.runs(await _ask(session, "query", query=view.JOBS, time=now))
    run = view.chosen(runs, key)
    if run is None:
        return {"state": "waiting"}
    window = view.window(run, name, now)
    values = view.variables(run, window)

    async def panel(one: Panel) -> dict[str, Any]:
        answers = await asyncio.gather(
            *(_ask_range(session, filled(query.expression, values), window) for query in one.queries)
        )
        return view.filled_panel(one, answers, window)

    return {
        "state": "running" if run.completed is None else "ended",
        "job": run.key,
        "jobs": [one.key for one in runs],
        "start": window.start,
        "end": window.end,
        "step": window.step,
        "sections": [
            {"title": section.title, "panels": await asyncio.gather(*map(panel, section.panels))}
            for section in sections(json.loads(DASHBOARD.read_text()))
        ],
    }


async def _ask_range(session: aiohttp.ClientSession, query: str, window: view.Window) -> view.Answer:
    times = {"start": window.start, "end": window.end, "step": window.step}
    return await _ask(session, "query_range", query=query, **times)


async def _ask(session: aiohttp.ClientSession, path: str, **parameters: str | float) -> view.Answer:
    """Ask Prometheus. Raises aiohttp.ClientError, with its words where it refuses."""
    async with session.post(f"/api/v1/{path}", data=parameters) as response:
        said = await response.json()
        if said["status"] != "success":
            raise aiohttp.ClientError(f"{parameters['query']}: {said['error']}")
        answer: view.Answer = said["data"]["result"]
        return answer


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve the demo's live panels.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--prometheus", default="", help="URL of Prometheus; empty where there is none")
    options = parser.parse_args()
    web.run_app(application(options.prometheus), host="127.0.0.1", port=options.port, print=None)


if __name__ == "__main__":
    main()
