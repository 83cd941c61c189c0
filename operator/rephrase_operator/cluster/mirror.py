"""A mirror of the Jobs, or the pods, with our label: it lists, watches, projects, and tells what changed.

kopf would list and watch every pod of the cluster to find ours. Here the API server selects them, and each
object is reduced to a view when it arrives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.observed.views import LABEL_JOB

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of a RephraseJob."""

PAGE = 500
RETRY_SECONDS = 1.0
GONE = 410


class View(Protocol):
    """The fields that every view has."""

    @property
    def namespace(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def uid(self) -> str: ...  # noqa: D102
    @property
    def job(self) -> str: ...  # noqa: D102
    @property
    def resource_version(self) -> str: ...  # noqa: D102


V = TypeVar("V", bound=View)


class Mirror(Generic[V]):
    """Views of one kind of object in one namespace, or in all of them."""

    def __init__(
        self,
        connection: Kube,
        path: str,
        project: Callable[[Mapping[str, Any]], V],
        changed: Callable[[Key], None],
    ) -> None:
        self._kube = connection
        self._path = path
        self._project = project
        self._changed = changed
        self._views: dict[Key, dict[str, V]] = {}
        self.synced = asyncio.Event()
        """Set once everything has been listed."""
        self.last_contact = time.monotonic()
        """When the API server last answered (monotonic seconds)."""

    def of(self, key: Key) -> Iterable[V]:
        """The views that belong to a RephraseJob."""
        return self._views.get(key, {}).values()

    def remember(self, raw: Mapping[str, Any]) -> None:
        """Take over the API server's answer to a write, before the watch reports it."""
        self._put(self._project(raw))

    async def run(self) -> None:
        """Mirror for ever."""
        while True:
            try:
                version = await self._list()
                self.synced.set()
                while True:
                    version = await self._watch(version)
            except ApiError as error:
                level = logging.INFO if error.status == GONE else logging.WARNING
                log.log(level, "listing %s anew: %s", self._path, error)
            except kube.UNREACHABLE as error:
                log.warning("the watch of %s broke off, trying again: %s", self._path, kube.plainly(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _list(self) -> str:
        seen: dict[Key, set[str]] = {}
        query: dict[str, Any] = {"labelSelector": LABEL_JOB, "limit": PAGE}
        while True:
            page = await self._kube.request("GET", self._path, query=query)
            self.last_contact = time.monotonic()
            for raw in page["items"]:
                view = self._project(raw)
                seen.setdefault((view.namespace, view.job), set()).add(view.name)
                self._put(view)
            following = page["metadata"].get("continue")
            if not following:
                break
            query["continue"] = following
        for key in list(self._views):
            for name in set(self._views[key]) - seen.get(key, set()):
                self._drop(key, name)
        return str(page["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        query = {"labelSelector": LABEL_JOB, "resourceVersion": version}
        async for event in self._kube.watch(self._path, query):
            self.last_contact = time.monotonic()
            raw = event["object"]
            version = raw["metadata"]["resourceVersion"]
            if event["type"] in ("ADDED", "MODIFIED"):
                self._put(self._project(raw))
            elif event["type"] == "DELETED":
                view = self._project(raw)
                key = (view.namespace, view.job)
                known = self._views.get(key, {}).get(view.name)
                if known is not None and known.uid == view.uid:
                    self._drop(key, view.name)
        self.last_contact = time.monotonic()
        return version

    def _put(self, view: V) -> None:
        key = (view.namespace, view.job)
        views = self._views.setdefault(key, {})
        known = views.get(view.name)
        if (
            known is not None
            and known.uid == view.uid
            and older(view.resource_version, known.resource_version)
        ):
            return
        if known != view:
            views[view.name] = view
            self._changed(key)

    def _drop(self, key: Key, name: str) -> None:
        del self._views[key][name]
        if not self._views[key]:
            del self._views[key]
        self._changed(key)


def older(new: str, known: str) -> bool:
    """Whether a version of an object is older than the known one. Versions are numbers (KEP-5504)."""
    return new.isdigit() and known.isdigit() and int(new) < int(known)
