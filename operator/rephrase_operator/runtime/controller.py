"""Passes over jobs: gather what exists, let `reconcile` decide, write the status once, post Events, then act.

Any error ends the pass. It is logged and counted, and the pass is repeated later, after growing pauses. That
leaves nothing half done, because the next pass starts from what exists then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.cluster.mirror import Key, Mirror, older
from rephrase_operator.cluster.namespaces import Namespaces
from rephrase_operator.library import BrokenPrompt, Library, library, with_house_prompts
from rephrase_operator.observed.views import (
    JobObject,
    JobView,
    Observed,
    PodView,
    view_job,
    view_pod,
    view_rephrase_job,
)
from rephrase_operator.reconcile.decision import CreateConfigMap, CreateJob, Decision
from rephrase_operator.reconcile.lifecycle import reconcile
from rephrase_operator.reconcile.namespace_end import held_up
from rephrase_operator.runtime.actions import Actor
from rephrase_operator.runtime.metrics import Metrics
from rephrase_operator.runtime.polling import Poller
from rephrase_operator.runtime.prompt_maps import prompt_maps
from rephrase_operator.runtime.statuswrite import material
from rephrase_operator.runtime.workqueue import WorkQueue
from rephrase_operator.settings import Settings

log = logging.getLogger(__name__)

PASSES_AT_ONCE = 8
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
RESYNC_SECONDS = 300.0
"""Every job gets a pass this often, even if nothing seems to happen."""

REFUSED_SECONDS = 10.0
"""How often a refused action is tried again: a quota may have been raised."""

IDLE_SECONDS = 0.2
"""After a pass that changed nothing, the next one comes no sooner than this."""

STUCK_SECONDS = 180.0
"""A pass that takes longer, or a watch that is silent for longer, makes /healthz fail."""


@dataclass
class Known:
    """What the operator remembers about a RephraseJob between passes. A restart may lose all of it."""

    raw: dict[str, Any]
    heard: float
    """When the API server last showed that it exists (monotonic seconds)."""
    written: float = 0.0
    """When the status was last written (monotonic seconds)."""
    failures: int = 0
    """Passes that failed in a row."""


class Controller:
    """Reconciles every RephraseJob that it is told about."""

    def __init__(
        self,
        connection: Kube,
        settings: Settings,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube = connection
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._library = _library(settings)
        self._watching = False
        self._known: dict[Key, Known] = {}
        self._queue = WorkQueue()
        metrics.queue(self._queue.depth)
        interval = timedelta(seconds=settings.progress_seconds * 0.9)
        self._poller = Poller(interval=interval, clock=clock)
        scopes: tuple[str | None, ...] = settings.namespaces or (None,)
        self._jobs = [Mirror(connection, kube.jobs(scope), view_job, self._touch) for scope in scopes]
        self._pods = [Mirror(connection, kube.pods(scope), view_pod, self._touch) for scope in scopes]
        self._mirrors: tuple[Mirror[Any], ...] = (*self._jobs, *self._pods)
        self._namespaces = Namespaces(connection)
        self._actor = Actor(connection, settings, self._remember_job, self._namespaces)

    def put(self, raw: Mapping[str, Any]) -> None:
        """Note that a RephraseJob exists, or has changed."""
        key = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        self._take(key, raw)
        self._queue.add(key)

    def drop(self, namespace: str, name: str, uid: str) -> None:
        """Forget a RephraseJob that is gone."""
        key = (namespace, name)
        known = self._known.get(key)
        if known is not None and known.raw["metadata"]["uid"] == uid:
            del self._known[key]
            self._actor.forget(key)
            self._poller.drop(key)
            self._metrics.drop(key)

    async def run(self) -> None:
        """Mirror and reconcile until cancelled."""
        mirrors = self._mirrors
        try:
            async with asyncio.TaskGroup() as group:
                for mirror in mirrors:
                    group.create_task(mirror.run())
                # Until everything has been listed, a job seems to have no children.
                await asyncio.gather(*(mirror.synced.wait() for mirror in mirrors))
                for _ in range(PASSES_AT_ONCE):
                    group.create_task(self._work())
        finally:
            await self._poller.close()

    def start_watching(self) -> None:
        """From now on silence of the API server is a fault. Before, this process only waits for the Lease."""
        self._watching = True
        for mirror in self._mirrors:
            mirror.last_contact = time.monotonic()

    def trouble(self) -> str:
        """What is wrong with this process, for /healthz; empty if nothing is."""
        if not self._watching:
            return ""
        silent = time.monotonic() - min(mirror.last_contact for mirror in self._mirrors)
        if silent > STUCK_SECONDS:
            return f"the API server has not answered for {silent:.0f} s"
        slowest = self._queue.longest_pass()
        return f"a pass has been running for {slowest:.0f} s" if slowest > STUCK_SECONDS else ""

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                with self._metrics.timed():
                    again = await self._pass(key)
                if key in self._known:
                    self._known[key].failures = 0
                    self._queue.add(key, RESYNC_SECONDS if again is None else min(again, RESYNC_SECONDS))
            except (ApiError, *kube.UNREACHABLE) as error:
                log.warning("%s/%s: %s", *key, kube.plainly(error))
                self._retry(key)
            except Exception:
                log.exception("%s/%s: a pass failed; this is a defect, please report it", *key)
                self._retry(key)
            finally:
                self._queue.done(key)

    async def _pass(self, key: Key) -> float | None:
        known = self._known.get(key)
        if known is None:
            return None
        raw = known.raw
        job = view_rephrase_job(raw)
        decided = reconcile(job, await self._observe(key, job), self._clock(), self._settings, self._library)
        creates = any(isinstance(action, CreateConfigMap | CreateJob) for action in decided.actions)
        unheard = time.monotonic() - known.heard >= RESYNC_SECONDS
        if (creates or unheard) and not await self._is_current(key, job):
            return 0.0
        status = decided.status.to_api()
        patch = kube.merge_patch(raw.get("status") or {}, status)
        lasting = bool(patch) and material(raw.get("status") or {}, status)
        if lasting and not await self._record(key, known, job, decided, patch):
            return 0.05
        # The decision is in the status by now, so neither a conflict nor a crash can lose it.
        resisted = await self._actor.carry_out(key, decided.actions)
        again = decided.requeue_after
        if resisted:
            again = 0.0  # The next pass says so in the status.
        elif self._actor.refused(key):
            again = min(again or REFUSED_SECONDS, REFUSED_SECONDS)
        if lasting:
            return again
        if not patch:
            return None if again is None else max(again, IDLE_SECONDS)
        wait = known.written + self._settings.progress_seconds - time.monotonic()
        if wait > 0:
            return wait if again is None else max(min(again, wait), 0.05)
        return again if await self._record(key, known, job, decided, patch) else 0.05

    async def _record(
        self, key: Key, known: Known, job: JobObject, decided: Decision, patch: dict[str, Any]
    ) -> bool:
        """Write the status and post Events about its changes. False if the status was out of date."""
        if not await self._write(key, known, job, patch):
            return False
        for event in decided.events:
            await self._actor.tell(job, event, self._clock())
        return True

    async def _write(self, key: Key, known: Known, job: JobObject, patch: dict[str, Any]) -> bool:
        """Write the status over the version that was read. False if a newer version exists."""
        version = {"resourceVersion": job.resource_version, "uid": job.uid}
        path = kube.rephrase_jobs(*key)
        try:
            answer = await self._kube.request(
                "PATCH",
                f"{path}/status",
                body={"metadata": version, "status": patch},
                content_type=kube.MERGE_PATCH,
            )
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            await self._is_current(key, job)
            return False
        known.written = time.monotonic()
        if key in self._known:
            self._take(key, answer)
        return True

    async def _is_current(self, key: Key, job: JobObject) -> bool:
        """Read the job again. False if it has changed or is gone.

        A watch that starts again after 410 Gone does not report objects that were deleted meanwhile. Children
        made for a job that is gone are garbage collected, and would be made again each time.
        """
        try:
            now = await self._kube.request("GET", kube.rephrase_jobs(*key))
        except ApiError as error:
            if error.status != 404:
                raise
            self.drop(*key, job.uid)
            return False
        if key in self._known:
            self._take(key, now)
        return bool(now["metadata"]["resourceVersion"] == job.resource_version)

    def _take(self, key: Key, raw: Mapping[str, Any]) -> None:
        """Remember a version of a job, unless a later one is known.

        Events of the watch and answers to our own requests can arrive in either order.
        """
        meta, known = raw["metadata"], self._known.get(key)
        if known is None or known.raw["metadata"]["uid"] != meta["uid"]:
            self._actor.forget(key)
            self._known[key] = Known(raw=dict(raw), heard=time.monotonic())
        elif not older(meta["resourceVersion"], known.raw["metadata"]["resourceVersion"]):
            known.raw, known.heard = dict(raw), time.monotonic()
        self._metrics.show(self._known[key].raw)

    async def _observe(self, key: Key, job: JobObject) -> Observed:
        children: dict[str, JobView] = {view.step: view for mirror in self._jobs for view in mirror.of(key)}
        owners = {view.uid for view in children.values() if view.owner_uid == job.uid}
        pods: list[PodView] = [
            view for mirror in self._pods for view in mirror.of(key) if view.owner_uid in owners
        ]
        config = await self._actor.config(key)
        seen = Observed(
            jobs=children,
            pods=tuple(pods),
            config=config,
            prompt_maps=await prompt_maps(self._kube, job, config),
            reports=await self._poller.reports(key, [pod for pod in pods if pod.index is not None]),
            taken=self._actor.taken(key),
            refused=self._actor.refused(key),
        )
        ends = await self._namespaces.ends(key[0], suspected=held_up(seen))
        return replace(seen, namespace_ends=ends)

    def _remember_job(self, raw: Mapping[str, Any]) -> None:
        namespace = raw["metadata"]["namespace"]
        index = self._settings.namespaces.index(namespace) if self._settings.namespaces else 0
        self._jobs[index].remember(raw)

    def _touch(self, key: Key) -> None:
        if key in self._known:
            self._queue.add(key)

    def _retry(self, key: Key) -> None:
        self._metrics.failed()
        known = self._known.get(key)
        if known is not None:
            known.failures += 1
            delay = FIRST_RETRY_SECONDS * 2 ** min(known.failures - 1, 10)
            self._queue.add(key, min(LAST_RETRY_SECONDS, delay))


def _library(settings: Settings) -> Library:
    """Prompts that jobs can name. Those that can't be used are logged, and told to jobs that name them."""
    if settings.prompts is None:
        return library()
    found = with_house_prompts(settings.prompts)
    for name, prompt in found.items():
        if isinstance(prompt, BrokenPrompt):
            log.error("the prompt %s in %s can't be used: %s", name, settings.prompts, prompt.why)
    return found
