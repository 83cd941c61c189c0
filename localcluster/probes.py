"""Readiness and liveness probes of a container, by HTTP."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientSession, ClientTimeout

from localcluster.errors import Object


async def probe(spec: Object, container: Object, host: str, tell: Callable[[bool], Awaitable[None]]) -> None:
    """Ask for ever, and tell what is true once enough answers in a row say so. Starts by telling nothing."""
    get = spec["httpGet"]
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports") or ()}
    url = f"http://{host}:{ports.get(get['port'], get['port'])}{get.get('path', '/')}"
    needed = {True: spec.get("successThreshold", 1), False: spec.get("failureThreshold", 3)}
    timeout = ClientTimeout(total=spec.get("timeoutSeconds", 1))
    same, last = 0, None
    await asyncio.sleep(spec.get("initialDelaySeconds", 0))
    async with ClientSession(timeout=timeout, trust_env=False) as session:
        while True:
            passed = await _passes(session, url)
            same, last = (same + 1 if passed is last else 1), passed
            if same == needed[passed]:
                await tell(passed)
            await asyncio.sleep(spec.get("periodSeconds", 10))


async def _passes(session: ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as answer:
            return 200 <= answer.status < 400
    except (ClientError, TimeoutError):
        return False
