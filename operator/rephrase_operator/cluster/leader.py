"""One leader at a time, by a Lease. Work starts when the Lease is won, and the process ends when it is lost.

The protocol is client-go's: whoever holds the Lease renews it, and the others take it when its content
has not changed for as long as it says, by their own clocks. (The client's own election fails on its own
types when it creates a Lease, and ends on the first connection that breaks.)
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.settings import LEASE_NAME

log = logging.getLogger(__name__)

RENEWALS = 3
"""Renewals in the time of a Lease."""

ROUNDS = 5
"""Looks of a candidate at a Lease in its time, and tries to renew it once that has failed."""


class LeadershipLostError(Exception):
    """Another process may be the leader now, so this one must stop working at once."""


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
        self._clock = clock
        self._seen: tuple[Any, ...] = ()
        self._seen_at = 0.0
        self._seen_seconds = 0.0
        self._held: dict[str, Any] | None = None
        """The Lease as this process wrote it last."""
        self._held_until = -math.inf
        self.seconds = seconds
        self.trouble = ""
        """Why this process can't take or renew the Lease; empty if only another process holds it."""
        # Two processes with the same pod name must not both believe that they hold the Lease.
        self.identity = f"{identity}_{uuid.uuid4().hex[:12]}"

    async def hold(self) -> bool:
        """Take or renew the Lease. False if another process holds it, or if that is not possible."""
        trouble, asked = "", self._clock()
        try:
            held = await self._hold()
            self._held_until = asked + self.seconds if held else -math.inf
            return held
        except ApiError as error:
            self._held = None
            if error.status != 409:  # Another one was faster.
                trouble = self._explain(error)
        except kube.UNREACHABLE as error:
            trouble = f"the API server at {self._kube.server} does not answer ({kube.plainly(error)})"
        finally:
            if trouble and trouble != self.trouble:
                log.warning("Lease %s/%s: %s", self._namespace, LEASE_NAME, trouble)
            self.trouble = trouble
        return False

    @property
    def held(self) -> bool:
        """True while no other process can hold the Lease: until it expires, or is given up."""
        return self._clock() < self._held_until

    async def release(self) -> None:
        """Give the Lease up, so that the next leader need not wait until it expires."""
        self._held_until = -math.inf
        try:
            lease = await self._kube.request("GET", kube.leases(self._namespace, LEASE_NAME))
            if (lease.get("spec") or {}).get("holderIdentity") == self.identity:
                del lease["spec"]["holderIdentity"]
                await self._kube.request("PUT", kube.leases(self._namespace, LEASE_NAME), body=lease)
        except (ApiError, *kube.UNREACHABLE) as error:
            log.warning(
                "the Lease was not given up, the next leader waits for its end: %s", kube.plainly(error)
            )

    def expires_in(self) -> float:
        """Seconds until this process may take the Lease that another one holds, by what it has seen."""
        return self._seen_at + self._seen_seconds - self._clock() if self._seen else 0.0

    async def _hold(self) -> bool:
        path = kube.leases(self._namespace, LEASE_NAME)
        lease = self._held
        if lease is None:
            try:
                lease = await self._kube.request("GET", path)
            except ApiError as error:
                if error.status != 404:
                    raise
                metadata = {"namespace": self._namespace, "name": LEASE_NAME}
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
                lease["spec"] = self._renewed({})
                self._held = await self._kube.request("POST", kube.leases(self._namespace), body=lease)
                return True
        spec = lease.get("spec") or {}
        if self._is_held_by_another(spec):
            return False
        # The resourceVersion that is known is sent too. So the holder need not read the Lease before each
        # renewal: if another process had taken it meanwhile, the write would be refused.
        self._held = await self._kube.request("PUT", path, body=lease | {"spec": self._renewed(spec)})
        return True

    def _explain(self, error: ApiError) -> str:
        if error.status == 404:
            known = "create it, or set POD_NAMESPACE to the operator's own"
            return f"there is no namespace {self._namespace}: {known}"
        if error.status in (401, 403):
            return (
                "this operator may not read and write it: its Role needs get, create and update on leases in "
                f"namespace {self._namespace} ({error.message})"
            )
        return f"it could not be read or written: {error}"

    def _is_held_by_another(self, spec: dict[str, Any]) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self.identity:
            return False
        seen = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        self._seen_seconds = float(spec.get("leaseDurationSeconds", self.seconds))
        return self.expires_in() > 0

    def _renewed(self, spec: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = {"holderIdentity": self.identity, "leaseDurationSeconds": self.seconds, "renewTime": now}
        if spec.get("holderIdentity") == self.identity:
            return spec | mine
        taken = {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", -1) + 1}
        return spec | mine | taken


async def lead(lease: Lease, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Wait for the Lease, then work while it is renewed. Raises LeadershipLostError when it is lost.

    When it is cancelled, it stops the work and then gives the Lease up.
    """
    log.info("waiting for the Lease as %s", lease.identity)
    await _win(lease)
    log.info("leading as %s", lease.identity)
    working, renewing = asyncio.create_task(work()), asyncio.create_task(_renew(lease))
    try:
        await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            renewing.result()
            raise LeadershipLostError(_lost(lease))
        await working
    finally:
        lost = renewing.done()
        for task in (working, renewing):
            task.cancel()
        await asyncio.gather(working, renewing, return_exceptions=True)
        if not lost:
            await lease.release()


async def _win(lease: Lease) -> None:
    """Wait until the Lease is this process's."""
    look = lease.seconds / ROUNDS
    try:
        while True:
            if await lease.hold():
                return
            # Not longer than until it expires: a silent leader is to be followed soon.
            await asyncio.sleep(min(look, max(lease.expires_in(), 0.0) or look))
    except asyncio.CancelledError:
        # The API server may have given it the Lease in an answer that it has not waited for.
        await lease.release()
        raise


def _lost(lease: Lease) -> str:
    why = lease.trouble or "somebody else holds it, or the API server does not answer"
    return (
        f"the Lease was not renewed for {lease.seconds * 2 / 3:.0f} s, so leadership is lost: {why}. "
        "This process ends, so that a replica, or itself once it is started again, can take over"
    )


async def _renew(lease: Lease) -> None:
    """Renew the Lease. Returns when it could not be renewed for two thirds of its time."""
    clock = asyncio.get_running_loop().time
    renewed, wait = clock(), lease.seconds / RENEWALS
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout_at(renewed + lease.seconds * 2 / 3):
                await asyncio.sleep(wait)
                asked = clock()
                if await lease.hold():
                    renewed, wait = asked, lease.seconds / RENEWALS
                else:
                    wait = lease.seconds / ROUNDS / RENEWALS
