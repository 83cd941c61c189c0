"""One leader at a time, by a Lease. Work starts once it is won and the process ends when it is lost."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from rephrase_operator.settings import LEASE_NAME, Settings

log = logging.getLogger(__name__)


class LeadershipLostError(Exception):
    """Somebody else may be leading: whatever this process does now, it does beside a new leader."""


class _Election(LeaderElection):
    """An election that takes an unreachable API server for a lost round instead of an end."""

    async def try_acquire_or_renew(self) -> bool:
        try:
            return bool(await super().try_acquire_or_renew())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("the Lease can't be reached: %r", error)
            return False


async def lead(api_client: Any, settings: Settings, work: Coroutine[Any, Any, None]) -> None:
    """Wait for the Lease, then do the work while it is renewed. Raises LeadershipLostError when it is
    lost."""
    # Two processes of one pod name must not both believe that they hold it.
    identity = f"{settings.identity}_{uuid.uuid4().hex[:12]}"
    lock = LeaseLock(LEASE_NAME, settings.lease_namespace, identity, api_client)
    election = _Election(_config(lock, settings.lease_seconds))
    log.info("waiting for Lease %s/%s as %s", settings.lease_namespace, LEASE_NAME, identity)
    try:
        await election.acquire()
    except BaseException:
        work.close()
        raise
    log.info("leading as %s", identity)
    working, renewing = asyncio.create_task(work), asyncio.create_task(election.renew_loop())
    try:
        await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise LeadershipLostError("the Lease was not renewed in time")
        await working
    finally:
        for task in (working, renewing):
            task.cancel()
        await asyncio.gather(working, renewing, return_exceptions=True)
        if renewing.cancelled():
            await _release(lock, identity)


def _config(lock: LeaseLock, seconds: float) -> Config:
    """Renewing is tried until two thirds of the time are over, several times, as in client-go."""

    async def unused() -> None:
        raise NotImplementedError

    return Config(
        lock=lock,
        lease_duration=max(1.5, seconds),
        renew_deadline=max(1.0, seconds * 2 / 3),
        retry_period=max(1.5, seconds) / 7.5,
        onstarted_leading=unused,
        onstopped_leading=unused,
    )


async def _release(lock: LeaseLock, identity: str) -> None:
    """Give the Lease up, so that the next leader need not wait for it to expire."""
    try:
        lease = await lock.api_instance.read_namespaced_lease(lock.name, lock.namespace)
        if lease.spec is not None and lease.spec.holder_identity == identity:
            lease.spec.holder_identity = None
            await lock.api_instance.replace_namespaced_lease(lock.name, lock.namespace, lease)
    except (ApiException, aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("the Lease was not given up, the next leader waits for its end: %r", error)
