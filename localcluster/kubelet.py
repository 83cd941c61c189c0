"""A node: binds waiting pods to itself, runs those that are bound to it, and serves their logs."""

import asyncio
import logging
import os
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from localcluster.certificates import loopback_tls
from localcluster.claims import Claims, remove
from localcluster.client import Client, Informer, path_of
from localcluster.clock import now, stamp
from localcluster.errors import ApiError, Object
from localcluster.pods import Container, Pod, terminated
from localcluster.processes import Processes

log = logging.getLogger(__name__)
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
HEARTBEAT_SECONDS = 10


class Kubelet:
    """The node `name`. Everything it writes is under `directory`."""

    container: type[Container] = Container
    """How a container runs: as a process of this machine."""

    def __init__(self, client: Client, directory: Path, name: str) -> None:
        self.client, self.directory, self.name = client, directory, name
        self.processes = Processes()
        self.claims = Claims(client, directory / "claims")
        self._pods: dict[str, Pod] = {}
        self._addresses = secrets.randbelow(254**3)  # clusters side by side should not meet
        self._tasks: set[asyncio.Task[None]] = set()

    def _next_address(self) -> str:
        """The next address in 127.0.0.0/8: not in 127.0, and no part is 0 or 255."""
        self._addresses += 1
        parts = (
            1 + self._addresses // 254**2 % 254,
            1 + self._addresses // 254 % 254,
            1 + self._addresses % 254,
        )
        return "127." + ".".join(map(str, parts))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task in the background. A failure is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a pod's task failed", exc_info=task.exception())

    async def run(self) -> None:
        """Run until cancelled, then kill every process that was started."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._serve_log)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=loopback_tls()[0]).start()
        pods = "/api/v1/pods"
        mine = Informer(self.client, pods, self._pod_changed, fieldSelector=f"spec.nodeName={self.name}")
        unbound = Informer(self.client, pods, self._pod_waits, fieldSelector="spec.nodeName=")

        def claim_changed(kind: str, claim: Object) -> None:
            if kind == "DELETED":
                self.spawn(self.claims.forget(claim))
            for pod in unbound:
                self._pod_waits(kind, pod)

        claims = Informer(self.client, "/api/v1/persistentvolumeclaims", claim_changed)
        try:
            await remove(self.directory / "pods")  # of an earlier kubelet, whose processes went with it
            await self.claims.tidy()
            await self._register(runner.addresses[0][1])
            async with asyncio.TaskGroup() as group:
                for work in (mine.run(), unbound.run(), claims.run(), self._heartbeat()):
                    group.create_task(work)
        finally:
            self.processes.stop()
            for task in self._tasks:
                task.cancel()
            await runner.cleanup()

    async def _register(self, port: int) -> None:
        kilobytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
        room = {
            "cpu": str(os.cpu_count()),
            "memory": f"{kilobytes}Ki",
            "pods": "1000",
            "ephemeral-storage": "100Gi",
        }
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {},
        }
        await self._create("/api/v1/nodes", node)
        times = {"lastHeartbeatTime": stamp(), "lastTransitionTime": stamp()}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "processes can run",
            **times,
        }
        unknown = dict.fromkeys(("machineID", "systemUUID", "bootID", "osImage", "kubeProxyVersion"), "")
        system = {**unknown, "kernelVersion": os.uname().release, "architecture": os.uname().machine}
        system |= {
            "kubeletVersion": "v1.36.0-process",
            "containerRuntimeVersion": "process://1",
            "operatingSystem": "linux",
        }
        addresses = [
            {"type": "InternalIP", "address": "127.0.0.1"}
        ]  # no Hostname: an API server would look it up
        status = {
            "capacity": room,
            "allocatable": room,
            "addresses": addresses,
            "conditions": [ready],
            "nodeInfo": system,
        }
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}
        await self.client.patch(f"/api/v1/nodes/{self.name}/status", {"status": status})

    async def _create(self, path: str, body: Object) -> None:
        try:
            await self.client.request("POST", path, body)
        except ApiError as error:
            if error.code != 409:
                raise

    async def _heartbeat(self) -> None:
        """Renew the node's Lease, which a real node controller wants to see."""
        spec: Object = {"holderIdentity": self.name, "leaseDurationSeconds": 4 * HEARTBEAT_SECONDS}
        meta = {"name": self.name}
        await self._create(
            LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        )
        while True:
            spec["renewTime"] = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            try:
                await self.client.patch(f"{LEASES}/{self.name}", {"spec": spec})
            except ApiError as error:
                log.warning("the node's lease: %s", error)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _pod_waits(self, kind: str, pod: Object) -> None:
        if kind != "DELETED" and not pod["metadata"].get("deletionTimestamp"):
            self.spawn(self._schedule(pod))

    async def _schedule(self, pod: Object) -> None:
        meta = pod["metadata"]
        if why := await self._misfit(pod):
            if any(one["type"] == "PodScheduled" for one in pod["status"].get("conditions", ())):
                return  # said before, here or by another node
            said = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "lastTransitionTime": stamp(),
            }
            text = f"0/1 nodes are available: {why}."
            status = {"conditions": [{**said, "message": text}]}
            await self.client.patch(path_of(pod, "pods", "status"), {"status": status})
            await self.client.event(pod, "Warning", "FailedScheduling", text)
            return
        where = {"apiVersion": "v1", "kind": "Node", "name": self.name}
        names = {"name": meta["name"], "namespace": meta["namespace"]}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": names, "target": where}
        try:
            await self.client.request("POST", path_of(pod, "pods", "binding"), binding)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        else:
            text = f"Successfully assigned {meta['namespace']}/{meta['name']} to {self.name}"
            await self.client.event(pod, "Normal", "Scheduled", text)

    async def _misfit(self, pod: Object) -> str:
        """Why the pod does not fit: a claim, label or resource that is missing. Amounts are not counted."""
        if text := await self.claims.missing(pod):
            return text
        node = await self.client.get(f"/api/v1/nodes/{self.name}")
        if not (pod["spec"].get("nodeSelector") or {}).items() <= node["metadata"].get("labels", {}).items():
            return "1 node(s) didn't match Pod's node affinity/selector"
        wanted = {
            name
            for one in pod["spec"]["containers"]
            for name in (one.get("resources") or {}).get("limits") or ()
        }
        missing = sorted(wanted - node["status"]["allocatable"].keys())
        return f"1 Insufficient {missing[0]}" if missing else ""

    def _pod_changed(self, kind: str, obj: Object) -> None:
        meta = obj["metadata"]
        pod = self._pods.get(meta["uid"])
        if kind == "DELETED":
            if pod:
                self._pods.pop(meta["uid"]).stop(0)
        elif pod is None and obj["status"].get("phase") not in ("Succeeded", "Failed"):
            if obj["status"].get("startTime"):
                self.spawn(self._lost(obj))
            else:
                self._pods[meta["uid"]] = pod = Pod(self, obj, self._next_address())
                self.spawn(pod.run())
        if pod and kind != "DELETED":
            pod.changed(obj)

    async def _lost(self, obj: Object) -> None:
        """A pod of an earlier kubelet: its processes went with that one."""
        gone = terminated(
            137, "ContainerStatusUnknown", "the kubelet restarted: its processes are gone", stamp()
        )
        known = obj["status"].get("containerStatuses", ())
        statuses = [{**one, "ready": False, "started": False, "state": gone} for one in known]
        status = {"phase": "Failed", "containerStatuses": statuses}
        await self.client.patch(path_of(obj, "pods", "status"), {"status": status})
        if obj["metadata"].get("deletionTimestamp"):
            await self.client.delete(path_of(obj, "pods"), gracePeriodSeconds=0)

    async def _serve_log(self, request: web.Request) -> web.StreamResponse:
        """A container's log; follows it until the process ends when asked to."""
        path = (request.match_info["namespace"], request.match_info["pod"])
        pods = [pod for pod in self._pods.values() if path == _key(pod.object)]
        found = [one for pod in pods for one in pod.containers if one.name == request.match_info["container"]]
        if not found or not found[-1].log.exists() or request.query.get("previous") == "true":
            raise web.HTTPNotFound(text=f"no such log of container {request.match_info['container']}")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with found[-1].log.open("rb") as file:
            if lines := request.query.get("tailLines"):
                await response.write(b"".join(file.readlines()[-int(lines) :] if lines != "0" else ()))
            while True:
                running = "running" in found[-1].state
                chunk = file.read(1 << 16)
                if chunk:
                    await response.write(chunk)
                elif not running or request.query.get("follow") != "true":
                    return response
                else:
                    await asyncio.sleep(0.1)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
