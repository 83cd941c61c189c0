"""The Job controller: watches Jobs and their pods, and does what `jobrules` says."""

import asyncio
import copy
import logging
from datetime import timedelta

from localcluster.client import Client, Informer, path_of
from localcluster.clock import now
from localcluster.errors import ApiError, Object
from localcluster.jobrules import INDEX, TRACKING, Plan, look

log = logging.getLogger(__name__)


class JobController:
    """`backoff` is the first pause before a failed index is tried again."""

    def __init__(self, client: Client, backoff: timedelta) -> None:
        self._client, self._backoff = client, backoff
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._jobs = Informer(
            client, "/apis/batch/v1/jobs", lambda _, job: self._wake(job["metadata"]["uid"])
        )
        self._pods = Informer(client, "/api/v1/pods", lambda _, pod: self._wake(_owner(pod)))
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def _wake(self, uid: str) -> None:
        if uid and uid not in self._queued:
            self._queued.add(uid)
            self._queue.put_nowait(uid)

    def _wake_later(self, uid: str, seconds: float) -> None:
        if uid in self._timers:
            self._timers[uid].cancel()
        self._timers[uid] = asyncio.get_running_loop().call_later(max(0.01, seconds), self._wake, uid)

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
                except ApiError as error:
                    log.debug("job %s, to be tried again: %s", uid, error)
                    self._wake_later(uid, 0.1)

    async def _sync(self, uid: str) -> None:
        job = self._jobs.objects.get(uid)
        pods = [pod for pod in self._pods if _owner(pod) == uid]
        if job is None:
            for pod in pods:
                await self._release(pod)
        else:
            plan = look(job, pods, now(), self._backoff)
            if refused := await self._create(job, plan):
                plan.status["active"] -= refused
            if plan.status != job.get("status", {}):
                body = {**job, "status": plan.status}
                self._jobs.learn(await self._client.request("PUT", path_of(job, "jobs", "status"), body))
            await self._apply(job, plan)
            if plan.again:
                self._wake_later(uid, min(plan.again).total_seconds())

    async def _apply(self, job: Object, plan: Plan) -> None:
        for pod in [*plan.release, *plan.delete]:
            await self._release(pod)
        for pod in plan.delete:
            await self._client.delete(path_of(pod, "pods"), preconditions={"uid": pod["metadata"]["uid"]})
            await self._client.event(
                job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}"
            )
            try:
                self._pods.learn(await self._client.get(path_of(pod, "pods")))
            except ApiError as error:
                self._forget(pod, error)
        for event in plan.events:
            await self._client.event(job, *event)

    async def _create(self, job: Object, plan: Plan) -> int:
        """Make the pods that are wanted. Returns how many a terminating namespace refused."""
        path = f"/api/v1/namespaces/{job['metadata']['namespace']}/pods"
        for number, (index, notes) in enumerate(plan.create.items()):
            try:
                created = await self._client.request("POST", path, _pod(job, index, notes))
            except ApiError as error:
                if not error.namespace_ends:
                    raise
                return len(plan.create) - number
            self._pods.learn(created)
            text = f"Created pod: {created['metadata']['name']}"
            await self._client.event(job, "Normal", "SuccessfulCreate", text)
        return 0

    def _forget(self, pod: Object, error: ApiError) -> None:
        if error.code not in (404, 409):
            raise error
        self._pods.objects.pop(pod["metadata"]["uid"], None)

    async def _release(self, pod: Object) -> None:
        """Remove the tracking finalizer, because the pod has been counted."""
        meta = pod["metadata"]
        if TRACKING not in meta.get("finalizers", ()):
            return
        kept = [one for one in meta["finalizers"] if one != TRACKING]
        body = {"metadata": {"uid": meta["uid"], "finalizers": kept}}
        try:
            self._pods.learn(await self._client.patch(path_of(pod, "pods"), body))
        except ApiError as error:
            self._forget(pod, error)


def _owner(pod: Object) -> str:
    refs = pod["metadata"].get("ownerReferences", ())
    return next((str(ref["uid"]) for ref in refs if ref.get("controller") and ref["kind"] == "Job"), "")


def _pod(job: Object, index: int, notes: dict[str, str]) -> Object:
    """A pod of a Job. A negative index means that the Job has no indexes."""
    template, name = copy.deepcopy(job["spec"]["template"]), job["metadata"]["name"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    meta, prefix = template["metadata"], f"{name}-{index}-" if index >= 0 else f"{name}-"
    meta |= {"generateName": prefix, "namespace": job["metadata"]["namespace"], "finalizers": [TRACKING]}
    meta["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    meta["annotations"] = {**meta.get("annotations", {}), **notes}
    if index >= 0:
        meta["labels"][INDEX] = str(index)
        template["spec"]["hostname"] = f"{name}-{index}"
        source = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
        for container in template["spec"]["containers"]:
            container["env"] = [
                *container.get("env", ()),
                {"name": "JOB_COMPLETION_INDEX", "valueFrom": source},
            ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
