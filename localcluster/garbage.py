"""Garbage collection: owned objects, claims in use, the contents of namespaces."""

import asyncio
import logging
import time

from localcluster.admission import IN_USE
from localcluster.claims import claims_of
from localcluster.client import Client, Informer, path_of
from localcluster.errors import ApiError, Object

log = logging.getLogger(__name__)
Row = tuple[str, Object]
"""A plural, and an object of that kind."""


class GarbageCollector:
    """Deletes what nothing needs any more. It watches every kind."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[str, str], tuple[str, Informer]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        looked = 0.0
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                try:
                    if time.monotonic() > looked + 1:
                        await self._discover(group)
                        looked = time.monotonic()
                    await self._collect(
                        [(plural, obj) for plural, kept in self._informers.values() for obj in kept]
                    )
                except ApiError as error:
                    log.debug("garbage collection, to be tried again: %s", error)
                try:
                    await asyncio.wait_for(self._changed.wait(), 1)
                except TimeoutError:
                    continue

    async def _discover(self, group: asyncio.TaskGroup) -> None:
        groups = (await self._client.get("/apis"))["groups"]
        for version in ["v1"] + [one["groupVersion"] for each in groups for one in each["versions"]]:
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            for one in (await self._client.get(root))["resources"]:
                key = (version, one["kind"])
                if "watch" in one["verbs"] and "/" not in one["name"] and key not in self._informers:
                    informer = Informer(self._client, f"{root}/{one['name']}", lambda *_: self._changed.set())
                    self._informers[key] = one["name"], informer
                    group.create_task(informer.run())

    async def _collect(self, rows: list[Row]) -> None:
        present = {obj["metadata"]["uid"] for _, obj in rows}
        for plural, obj in rows:
            meta = obj["metadata"]
            if meta.get("deletionTimestamp"):
                await self._finish(plural, obj, rows)
            elif (refs := meta.get("ownerReferences")) and present.isdisjoint(ref["uid"] for ref in refs):
                alive = [await self._lives(ref, meta.get("namespace")) for ref in refs]
                await self._delete([] if any(alive) else [(plural, obj)])

    async def _lives(self, ref: Object, namespace: str | None) -> bool:
        """Ask the server about an owner, because the copies may be out of date."""
        plural, _ = self._informers.get((ref["apiVersion"], ref["kind"]), ("", None))
        owners = [
            {"apiVersion": ref["apiVersion"], "metadata": {"name": ref["name"], "namespace": scope}}
            for scope in (namespace, None)
        ]
        for owner in owners if plural else ():
            try:
                if (await self._client.get(path_of(owner, plural)))["metadata"]["uid"] == ref["uid"]:
                    return True
            except ApiError as error:
                if error.code != 404:
                    raise
        return not plural

    async def _finish(self, plural: str, obj: Object, rows: list[Row]) -> None:
        meta, finalizers = obj["metadata"], obj["metadata"].get("finalizers", ())
        if plural == "namespaces" and obj["spec"].get("finalizers"):
            inside = [row for row in rows if row[1]["metadata"].get("namespace") == meta["name"]]
            # Pods first and alone, as since Kubernetes 1.33 (KEP-5080): what they need goes after them. So
            # a Job outlives its pods, and one that holds a failed pod for its successor holds the namespace.
            await self._delete([row for row in inside if row[0] == "pods"] or inside)
            if not inside:
                await self._client.request(
                    "PUT", path_of(obj, plural, "finalize"), {**obj, "spec": {"finalizers": []}}
                )
        if IN_USE in finalizers and not any(_uses(pod, meta) for kind, pod in rows if kind == "pods"):
            await self._drop(plural, obj, IN_USE)

    async def _delete(self, rows: list[Row]) -> None:
        for plural, obj in rows:
            if not obj["metadata"].get("deletionTimestamp"):
                await self._client.delete(path_of(obj, plural), preconditions={"uid": obj["metadata"]["uid"]})

    async def _drop(self, plural: str, obj: Object, finalizer: str) -> None:
        meta = obj["metadata"]
        kept = [one for one in meta["finalizers"] if one != finalizer]
        await self._client.patch(
            path_of(obj, plural),
            {
                "metadata": {
                    "uid": meta["uid"],
                    "resourceVersion": meta["resourceVersion"],
                    "finalizers": kept,
                }
            },
        )


def _uses(pod: Object, claim: Object) -> bool:
    """Whether a pod that has not ended mounts a claim, given by its metadata."""
    ended = pod["status"].get("phase") in ("Succeeded", "Failed")
    return (
        not ended and pod["metadata"]["namespace"] == claim["namespace"] and claim["name"] in claims_of(pod)
    )
