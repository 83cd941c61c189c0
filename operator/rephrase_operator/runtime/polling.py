"""Asks running workers for their progress, by pod IP.

Answers come from containers, so they are not trusted: only a limited amount is read, redirects are not
followed, and an answer that is no report is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiohttp

from rephrase_operator.cluster.mirror import Key
from rephrase_operator.observed.views import LiveReport, PodView, read_report
from rephrase_worker.spec import PROGRESS_LIMIT_BYTES, WORKER_PORT, ShardReport

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0
AT_ONCE = 64
ROUND_SECONDS = 5.0
"""Longest time that a pass waits for a job's workers, even if a firewall hides thousands of them. Workers
that could not be asked in this round are asked first in the next one.
"""

_NEVER = datetime.min.replace(tzinfo=UTC)


class Poller:
    """The latest report of every running worker."""

    def __init__(self, *, interval: timedelta, clock: Callable[[], datetime]) -> None:
        self._interval = interval
        self._clock = clock
        self._reports: dict[Key, dict[str, LiveReport]] = {}
        self._asked: dict[Key, dict[str, datetime]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def reports(self, key: Key, pods: Iterable[PodView]) -> dict[str, LiveReport]:
        """The reports of a job's pods by UID. Asks pods that were not asked during the last interval.

        Reports of pods that no longer exist are dropped.
        """
        now = self._clock()
        pods = list(pods)
        before = self._reports.get(key, {})
        known = {pod.uid: before[pod.uid] for pod in pods if pod.uid in before}
        earlier = self._asked.get(key, {})
        asked = {pod.uid: earlier.get(pod.uid, _NEVER) for pod in pods}
        self._reports[key], self._asked[key] = known, asked
        due = [pod for pod in pods if pod.running and pod.ip and now - asked[pod.uid] >= self._interval]
        waiting = iter(sorted(due, key=lambda pod: asked[pod.uid]))

        async def ask() -> None:
            for pod in waiting:
                async with self._slots:
                    asked[pod.uid] = self._clock()
                    report = await self._ask(pod)
                if report is not None:
                    known[pod.uid] = LiveReport(report=report, at=self._clock())

        with suppress(TimeoutError):
            async with asyncio.timeout(ROUND_SECONDS):
                await asyncio.gather(*(ask() for _ in range(min(AT_ONCE, len(due)))))
        return known

    def drop(self, key: Key) -> None:
        """Forget a job that is gone."""
        self._reports.pop(key, None)
        self._asked.pop(key, None)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Pods are asked directly, never through a proxy that the environment names.
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self._session

    async def _ask(self, pod: PodView) -> ShardReport | None:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        url = f"http://{host}:{WORKER_PORT}/progress"
        try:
            async with self._connected().get(url, allow_redirects=False) as response:
                if response.status != 200:
                    return None
                body = await response.content.read(PROGRESS_LIMIT_BYTES)
                while len(body) < PROGRESS_LIMIT_BYTES and (more := await response.content.read(65536)):
                    body += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The worker has not opened its port yet, or is about to end. The next poll will show which.
            log.debug("no progress from %s/%s: %r", pod.namespace, pod.name, error)
            return None
        report: ShardReport | None = read_report(
            ShardReport, body[:PROGRESS_LIMIT_BYTES].decode("utf-8", "replace")
        )
        return report if report is not None and report.shard == pod.index else None
