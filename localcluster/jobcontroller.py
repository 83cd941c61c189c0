"""The Job controller: watches Jobs and their pods, and does what `jobrules` says."""

import asyncio
import copy
import logging
from datetime import timedelta

from localcluster.client import Client, Informer, path_of
from localcluster.clock import now, parse_time
from localcluster.errors import ApiError, Object
from localcluster.jobrules import INDEX, TRACKING, Plan, look

log = logging.getLogger(__name__)


class JobController:
    """`backoff` is the first pause before a failed index is tried again."""

    def __init__(self, client: Client, backoff: timedelta = timedelta(seconds=10)) -> None:
        self._client, self._backoff = client, backoff
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._jobs = Informer(client, "/apis/batch/v1/jobs", lambda kind, job: self._wake(job["metadata"]["uid"]))
        self._pods = Informer(client, "/api/v1/pods", self._pod_changed)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def _wake(self, uid: str) -> None:
        if uid not in self._queued:
            self._queued.add(uid)
            self._queue.put_nowait(uid)

    def _pod_changed(self, kind: str, pod: Object) -> None:
        if owner := _owner(pod):
            self._wake(owner)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._jobs.run())
            group.create_task(self._pods.run())
            while True:
                uid = await self._queue.get()
                self._queued.discard(uid)
                try:
                    await self._sync(uid)
                except (ApiError, OSError) as failure:
                    log.debug("job %s: %s", uid, failure)
                    asyncio.get_running_loop().call_later(0.1, self._wake, uid)

    async def _sync(self, uid: str) -> None:
        job = self._jobs.objects.get(uid)
        pods = [pod for pod in self._pods if _owner(pod) == uid]
        if job is None or job["metadata"].get("deletionTimestamp"):
            for pod in pods:
                await self._release(pod)
            if job is None:
                return
        if await self._expired(job):
            return
        plan = look(job, pods, now(), self._backoff)
        if plan.status != job.get("status", {}):
            body = {**job, "status": plan.status}
            self._jobs.learn(await self._client.request("PUT", path_of(job, "jobs", "status"), body))
        await self._apply(job, plan)
        if plan.again is not None:
            self._later(uid, plan.again)

    def _later(self, uid: str, delay: timedelta) -> None:
        if uid in self._timers:
            self._timers[uid].cancel()
        seconds = max(0.01, delay.total_seconds())
        self._timers[uid] = asyncio.get_running_loop().call_later(seconds, self._wake, uid)

    async def _apply(self, job: Object, plan: Plan) -> None:
        for pod in [*plan.release, *plan.delete]:
            await self._release(pod)
        for pod in plan.delete:
            if await self._client.delete(path_of(pod, "pods"), preconditions={"uid": pod["metadata"]["uid"]}):
                await self._client.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
            await self._refresh(pod)
        for index, notes in plan.create.items():
            created = await self._client.request(
                "POST", f"/api/v1/namespaces/{job['metadata']['namespace']}/pods", _pod(job, index, notes))
            self._pods.learn(created)
            await self._client.event(job, "Normal", "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        for kind, reason, message in plan.events:
            await self._client.event(job, kind, reason, message)

    async def _refresh(self, pod: Object) -> None:
        try:
            self._pods.learn(await self._client.get(path_of(pod, "pods")))
        except ApiError as error:
            if error.code != 404:
                raise
            self._pods.objects.pop(pod["metadata"]["uid"], None)

    async def _release(self, pod: Object) -> None:
        """Take the tracking finalizer off: the pod is accounted for."""
        kept = [one for one in pod["metadata"].get("finalizers", ()) if one != TRACKING]
        if len(kept) == len(pod["metadata"].get("finalizers", ())):
            return
        body = {"metadata": {"uid": pod["metadata"]["uid"], "finalizers": kept}}
        try:
            changed = await self._client.patch(path_of(pod, "pods"), body)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            self._pods.objects.pop(pod["metadata"]["uid"], None)
        else:
            self._pods.learn(changed)

    async def _expired(self, job: Object) -> bool:
        """Delete a finished Job whose ttlSecondsAfterFinished has passed."""
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        ends = [one["lastTransitionTime"] for one in job.get("status", {}).get("conditions", ())
                if one["type"] in ("Complete", "Failed") and one["status"] == "True"]
        if ttl is None or not ends:
            return False
        left = parse_time(ends[0]) + timedelta(seconds=ttl) - now()
        if left > timedelta():
            self._later(job["metadata"]["uid"], left)
            return False
        return await self._client.delete(path_of(job, "jobs"), propagationPolicy="Foreground",
                                         preconditions={"uid": job["metadata"]["uid"]})


def _owner(pod: Object) -> str:
    return next((str(ref["uid"]) for ref in pod["metadata"].get("ownerReferences", ())
                 if ref.get("controller") and ref["kind"] == "Job"), "")


def _pod(job: Object, index: int, notes: dict[str, str]) -> Object:
    """The pod of an index; negative indexes are those of a NonIndexed Job, which has none."""
    template = copy.deepcopy(job["spec"]["template"])
    meta, name = template.get("metadata", {}), job["metadata"]["name"]
    indexed = index >= 0
    labels = {**meta.get("labels", {}), **({INDEX: str(index)} if indexed else {})}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True,
             "blockOwnerDeletion": True}
    spec = template["spec"]
    if indexed:
        spec["hostname"] = f"{name}-{index}"
        source = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            container["env"] = [*container.get("env", ()), {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    return {"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {
        "generateName": f"{name}-{index}-" if indexed else f"{name}-", "namespace": job["metadata"]["namespace"],
        "labels": labels, "annotations": {**meta.get("annotations", {}), **notes}, "ownerReferences": [owner],
        "finalizers": [TRACKING]}}


