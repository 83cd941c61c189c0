"""One leader at a time, by a Lease. Work starts once it is won and the process ends when it is lost.

The protocol is client-go's: whoever holds the Lease renews it, and the others take it when its content
has not changed for as long as it says, by their own clocks. (The client's own election fails on its own
types when it creates a Lease, and ends on the first connection that breaks.)
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp

from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.settings import LEASE_NAME, Settings

log = logging.getLogger(__name__)

ROUNDS = 7.5
"""Rounds in the time of a Lease: several may fail before it is lost."""


class LeadershipLostError(Exception):
    """Somebody else may be leading: whatever this process does now, it does beside a new leader."""


class Lease:
    """The Lease as one candidate sees it. `clock` gives monotonic seconds."""

    def __init__(
        self,
        connection: Kube,
        *,
        namespace: str,
        identity: str,
        seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = connection
        self._namespace = namespace
        self._seconds = seconds
        self._clock = clock
        self._seen: tuple[Any, ...] = ()
        self._seen_at = 0.0
        # Two processes of one pod name must not both believe that they hold it.
        self.identity = f"{identity}_{uuid.uuid4().hex[:12]}"

    async def hold(self) -> bool:
        """Take or renew the Lease; False when somebody else holds it, or nobody answers."""
        try:
            return await self._hold()
        except ApiError as error:
            if error.status not in (404, 409):
                log.warning("the Lease was not renewed: %s", error)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("the Lease can't be reached: %r", error)
        return False

    async def release(self) -> None:
        """Give it up, so that the next leader need not wait for it to expire."""
        try:
            lease = await self._kube.request("GET", kube.leases(self._namespace, LEASE_NAME))
            if (lease.get("spec") or {}).get("holderIdentity") == self.identity:
                del lease["spec"]["holderIdentity"]
                await self._kube.request("PUT", kube.leases(self._namespace, LEASE_NAME), body=lease)
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("the Lease was not given up, the next leader waits for its end: %r", error)

    async def _hold(self) -> bool:
        path = kube.leases(self._namespace, LEASE_NAME)
        try:
            lease = await self._kube.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            metadata = {"namespace": self._namespace, "name": LEASE_NAME}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            lease["spec"] = self._renewed({})
            await self._kube.request("POST", kube.leases(self._namespace), body=lease)
            return True
        spec = lease.get("spec") or {}
        if self._is_held_by_another(spec):
            return False
        # The resourceVersion that was read goes with it: of two candidates one is refused.
        await self._kube.request("PUT", path, body=lease | {"spec": self._renewed(spec)})
        return True

    def _is_held_by_another(self, spec: dict[str, Any]) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self.identity:
            return False
        seen = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        return self._clock() - self._seen_at < float(spec.get("leaseDurationSeconds", self._seconds))

    def _renewed(self, spec: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = {"holderIdentity": self.identity, "leaseDurationSeconds": self._seconds, "renewTime": now}
        if spec.get("holderIdentity") == self.identity:
            return spec | mine
        taken = {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", -1) + 1}
        return spec | mine | taken


async def lead(connection: Kube, settings: Settings, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Wait for the Lease, then work while it is renewed. Raises LeadershipLostError when it is lost."""
    seconds = settings.lease_seconds
    lease = Lease(connection, namespace=settings.lease_namespace, identity=settings.identity, seconds=seconds)
    log.info("waiting for Lease %s/%s as %s", settings.lease_namespace, LEASE_NAME, lease.identity)
    while True:
        if await lease.hold():
            break
        await asyncio.sleep(seconds / ROUNDS)
    log.info("leading as %s", lease.identity)
    working, renewing = asyncio.create_task(work()), asyncio.create_task(_renew(lease, seconds))
    try:
        await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            renewing.result()
            raise LeadershipLostError("the Lease was not renewed in time")
        await working
    finally:
        lost = renewing.done()
        for task in (working, renewing):
            task.cancel()
        await asyncio.gather(working, renewing, return_exceptions=True)
        if not lost:
            await lease.release()


async def _renew(lease: Lease, seconds: int) -> None:
    """Renew until that has not worked for two thirds of the Lease's time, also when nobody answers."""
    clock = asyncio.get_running_loop().time
    renewed = clock()
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout_at(renewed + seconds * 2 / 3):
                await asyncio.sleep(seconds / ROUNDS)
                asked = clock()
                if await lease.hold():
                    renewed = asked
