"""Carries out what a pass has decided, and remembers what the API server refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from rephrase_operator import api
from rephrase_operator.api.bounds import shortened
from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import MERGE_PATCH, ApiError, Kube
from rephrase_operator.cluster.mirror import Key
from rephrase_operator.cluster.namespaces import Namespaces
from rephrase_operator.observed.views import ConfigView, JobObject, view_config
from rephrase_operator.reconcile import decision as do
from rephrase_operator.reconcile.events import Event
from rephrase_operator.reconcile.pods import config_name
from rephrase_operator.settings import Settings
from rephrase_worker.spec import ENGINE_FILE, RECIPE_FILE

log = logging.getLogger(__name__)

CONFIG_SECONDS = 600.0
"""How long the ConfigMap is trusted to be unchanged. Only we write it, and watching it would need the right
to read every ConfigMap. After a Job was made it is read anyway.
"""

TAKEN_SECONDS = 15.0
"""How long a name is taken for occupied before it is tried again."""

EVENT_MESSAGE_LIMIT = 1024


class Actor:
    """Carries out actions for all RephraseJobs."""

    def __init__(
        self,
        connection: Kube,
        settings: Settings,
        remember_job: Callable[[Mapping[str, Any]], None],
        namespaces: Namespaces,
    ) -> None:
        self._kube = connection
        self._namespaces = namespaces
        self._settings = settings
        self._remember_job = remember_job
        self._configs: dict[Key, tuple[float, ConfigView | None]] = {}
        self._taken: dict[Key, dict[str, float]] = {}
        self._refused: dict[Key, str] = {}
        self._last_event = 0

    def forget(self, key: Key) -> None:
        """Forget a RephraseJob that is gone, or whose name another one has now."""
        self._configs.pop(key, None)
        self._taken.pop(key, None)
        self._refused.pop(key, None)

    def taken(self, key: Key) -> frozenset[str]:
        """Names for children that belong to somebody else's objects."""
        now = time.monotonic()
        return frozenset(name for name, until in self._taken.get(key, {}).items() if until > now)

    def refused(self, key: Key) -> str:
        """Why the API server refused the last action; empty if it did not."""
        return self._refused.get(key, "")

    async def config(self, key: Key) -> ConfigView | None:
        """The job's ConfigMap, if there is one."""
        read, view = self._configs.get(key, (0.0, None))
        if time.monotonic() - read < CONFIG_SECONDS and read:
            return view
        try:
            raw = await self._kube.request("GET", kube.config_maps(key[0], config_name(key[1])))
        except ApiError as error:
            if error.status != 404:
                raise
            raw = None
        return self._remember_config(key, raw)

    async def carry_out(self, key: Key, actions: Iterable[do.Action]) -> bool:
        """Carry out actions in order. True if `refused` or `taken` have changed."""
        before = (self.refused(key), self.taken(key))
        await self._try(key, actions)
        return (self.refused(key), self.taken(key)) != before

    async def _try(self, key: Key, actions: Iterable[do.Action]) -> None:
        for action in actions:
            try:
                await self._do(key, action)
            except ApiError as error:
                if error.status == 404 and not isinstance(action, do.CreateJob | do.CreateConfigMap):
                    continue  # It is gone already; the watch will report that.
                if not error.refused:
                    raise
                if error.namespace_ends:
                    self._namespaces.note_end(key[0])
                self._refused[key] = f"{type(action).__name__} was refused: {error.message}"
                log.warning("%s/%s: %s", *key, self._refused[key])
                return
        self._refused.pop(key, None)

    async def tell(self, job: JobObject, event: Event, now: datetime) -> None:
        """Post an Event, once. What has to be seen later as well is in the conditions."""
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": job.namespace, "name": self._event_name(job.name)},
            "involvedObject": {
                "apiVersion": api.API_VERSION,
                "kind": api.KIND,
                "namespace": job.namespace,
                "name": job.name,
                "uid": job.uid,
                "resourceVersion": job.resource_version,
            },
            "type": event.type,
            "reason": str(event.reason),
            "message": shortened(event.message, EVENT_MESSAGE_LIMIT),
            "source": {"component": "rephrase-operator"},
            "reportingComponent": "rephrase-operator",
            "reportingInstance": self._settings.identity,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        try:
            await self._kube.request("POST", kube.events(job.namespace), body=body)
        except ApiError as error:
            if error.namespace_ends:
                self._namespaces.note_end(job.namespace)
            log.warning("%s/%s: event %s was not posted: %s", job.namespace, job.name, event.reason, error)

    def _event_name(self, job: str) -> str:
        """A name that sorts after those before it.

        `kubectl describe` sorts by times in whole seconds and, within one, leaves the order of the names.
        """
        self._last_event = max(self._last_event + 1, time.time_ns())
        return f"{job}.{self._last_event:016x}"

    async def _do(self, key: Key, action: do.Action) -> None:
        namespace = key[0]
        match action:
            case do.CreateConfigMap(manifest):
                await self._create_config(key, manifest)
            case do.PatchConfigMap(name, data):
                path = kube.config_maps(namespace, name)
                raw = await self._kube.request("PATCH", path, body={"data": data}, content_type=MERGE_PATCH)
                self._remember_config(key, raw)
            case do.CreateJob(manifest):
                await self._create_job(key, manifest)
                self._configs.pop(
                    key, None
                )  # Its pods need the ConfigMap: the next pass looks whether it is there.
            case do.PatchJob(name, spec):
                path = kube.jobs(namespace, name)
                raw = await self._kube.request("PATCH", path, body={"spec": spec}, content_type=MERGE_PATCH)
                self._remember_job(raw)
            case do.DeleteJob(name, uid):
                await self._delete(kube.jobs(namespace, name), uid)
            case do.DeleteRephraseJob(name, uid):
                await self._delete(kube.rephrase_jobs(namespace, name), uid)

    async def _create_config(self, key: Key, manifest: dict[str, Any]) -> None:
        try:
            raw = await self._kube.request("POST", kube.config_maps(key[0]), body=manifest)
            self._remember_config(key, raw)
        except ApiError as error:
            if error.status != 409:
                raise
            self._configs.pop(key, None)  # It exists already: the next pass reads whose it is.

    async def _create_job(self, key: Key, manifest: dict[str, Any]) -> None:
        name, owner = manifest["metadata"]["name"], manifest["metadata"]["ownerReferences"][0]["uid"]
        try:
            raw = await self._kube.request("POST", kube.jobs(key[0]), body=manifest)
        except ApiError as error:
            if error.status != 409:
                raise
            raw = await self._kube.request("GET", kube.jobs(key[0], name))
        if any(found["uid"] == owner for found in raw["metadata"].get("ownerReferences") or ()):
            self._remember_job(raw)
        else:
            self._taken.setdefault(key, {})[name] = time.monotonic() + TAKEN_SECONDS

    async def _delete(self, path: str, uid: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        await self._kube.request("DELETE", path, body=body)

    def _remember_config(self, key: Key, raw: Mapping[str, Any] | None) -> ConfigView | None:
        view = None if raw is None else view_config(raw, RECIPE_FILE, ENGINE_FILE)
        self._configs[key] = (time.monotonic(), view)
        return view
