"""A job's progress, live, until it ends: what `rephrase watch` shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from rich.console import Console
from rich.live import Live

from rephrase_operator.api.status import Phase, RephraseJobStatus, parse_status
from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.commands.display import line, screen

RETRY_SECONDS = 1.0


async def watch(name: str, namespace: str | None) -> int:
    """Show a job until it ends; returns 0 when it succeeded, 1 when it failed or was deleted."""
    settings = client.Configuration()
    await config.load_kube_config(client_configuration=settings)
    namespace = namespace or _current_namespace()
    console = Console(highlight=False)
    status = RephraseJobStatus()
    async with Kube(client.ApiClient(settings)) as connection:
        try:
            with Live(console=console, auto_refresh=False, transient=False) as live:
                printed = ""
                async for raw in states(connection, namespace, name):
                    status = parse_status(raw.get("status"))
                    if console.is_terminal:
                        live.update(screen(name, status), refresh=True)
                    elif (text := line(name, status)) != printed:
                        console.print(text)
                        printed = text
                    if status.phase is not None and status.phase.final:
                        break
        except ApiError as error:
            console.print(f"rephrase watch: {error}", style="red", markup=False)
            return 1
    if status.phase is Phase.SUCCEEDED:
        console.print(f"{name} succeeded: {status.message}", style="green", markup=False)
        return 0
    gone = status.phase is None or not status.phase.final
    reason = "was deleted" if gone else f"failed: {status.message}"
    console.print(f"{name} {reason}", style="red", markup=False)
    return 1


async def states(connection: Kube, namespace: str, name: str) -> AsyncIterator[Mapping[str, Any]]:
    """The job now and after every change; ends when it is deleted."""
    while True:
        try:
            raw = await connection.request("GET", kube.rephrase_jobs(namespace, name))
            yield raw
            query = {
                "fieldSelector": f"metadata.name={name}",
                "resourceVersion": raw["metadata"]["resourceVersion"],
            }
            async for event in connection.watch(kube.rephrase_jobs(namespace), query):
                if event["type"] == "DELETED":
                    return
                if event["type"] != "BOOKMARK":
                    yield event["object"]
        except ApiError as error:
            if error.status != 410:
                raise
        except (aiohttp.ClientError, TimeoutError, OSError):
            # The API server is restarting, or the laptop slept: carry on as soon as it answers.
            await asyncio.sleep(RETRY_SECONDS)


def _current_namespace() -> str:
    _, active = config.list_kube_config_contexts()
    return str(active["context"].get("namespace") or "default")
