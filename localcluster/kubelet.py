"""A node: binds waiting pods to itself, and runs the pods that are bound to it as local processes."""

import asyncio
import logging
import os
import random
import shutil
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from localcluster.certificates import loopback_tls
from localcluster.client import Client, Informer, path_of
from localcluster.clock import now, stamp
from localcluster.errors import ApiError, Object
from localcluster.podspec import CannotStart, Sources, expand, rewriter
from localcluster.processes import Processes, kill_group

log = logging.getLogger(__name__)
RETRY_SECONDS = 2.0
MAX_MESSAGE = 4096


class Container:
    """One container: its process, its state as the API shows it, and its probes."""

    def __init__(self, kubelet: "Kubelet", pod: "Pod", spec: Object) -> None:
        self.kubelet, self.pod, self.spec, self.name = kubelet, pod, spec, spec["name"]
        self.state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self.last: Object = {}
        self.restarts = 0
        self.started = self.ready = False
        self.process: asyncio.subprocess.Process | None = None
        self.directory = pod.directory / "containers" / self.name
        self.env: dict[str, str] = {}
        self.cwd = self.directory

    @property
    def log(self) -> Path:
        return self.directory / f"{self.restarts}.log"

    @property
    def message_file(self) -> Path:
        return self.directory / f"termination-log.{self.restarts}"

    def status(self) -> Object:
        return {"name": self.name, "image": self.spec.get("image", ""), "imageID": "", "ready": self.ready,
                "started": self.started, "restartCount": self.restarts, "state": self.state, "lastState": self.last,
                "containerID": f"process://{self.process.pid}" if self.process else ""}

    async def prepare(self) -> list[str]:
        """Environment, paths and command line. Raises CannotStart."""
        if not self.spec.get("command"):
            raise CannotStart("ErrImagePull", "the process kubelet pulls no images: the container needs a command")
        mounts = {self.spec["terminationMessagePath"]: self.message_file}
        for mount in self.spec.get("volumeMounts", ()):
            directory = self.pod.directory / "volumes" / mount["name"]
            mounts[mount["mountPath"]] = directory / mount["subPath"] if "subPath" in mount else directory
        rewrite = rewriter(mounts)
        env = await Sources(self.kubelet.client, self.pod.object).environment(self.spec)
        self.env = {"HOSTNAME": self.pod.object["metadata"]["name"]} | {key: rewrite(env[key]) for key in env}
        self.cwd = Path(rewrite(self.spec.get("workingDir", str(self.directory))))
        return [rewrite(expand(word, env)) for word in [*self.spec["command"], *self.spec.get("args", ())]]

    async def run(self) -> None:
        """Until the process has ended for good, as the restart policy says."""
        policy = self.pod.object["spec"]["restartPolicy"]
        while not self.pod.stopping:
            try:
                await self.attempt(await self.prepare())
            except CannotStart as failure:
                self.state = {"waiting": {"reason": failure.reason, "message": failure.message}}
                await self.pod.report()
                await self.pod.pause(RETRY_SECONDS)
                continue
            code = self.state["terminated"]["exitCode"]
            if self.pod.stopping or policy == "Never" or (policy == "OnFailure" and code == 0):
                break
            self.last, pause = self.state, min(300.0, self.kubelet.backoff * 2 ** self.restarts)
            self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off {pause:g}s"}}
            await self.pod.report()
            await self.pod.pause(pause)
            self.restarts += 1
        if "terminated" not in self.state:
            self.state = _terminated(137, "ContainerStatusUnknown", "the pod was deleted before it started", stamp())
        await self.pod.report()

    async def attempt(self, command: list[str]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.message_file.touch()
        begun = stamp()
        try:
            process = await self.kubelet.processes.start(command, self.env, self.cwd, self.log)
        except OSError as failure:
            self.state = _terminated(128, "StartError", f"{command[0]}: {failure}", begun)
            return
        self.process, self.state = process, {"running": {"startedAt": begun}}
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        if self.pod.stopping:  # deleted while it started
            process.terminate()
        await self.pod.report()
        probes = asyncio.create_task(self.probe())
        code = await self.kubelet.processes.wait(process)
        probes.cancel()
        self.ready = self.started = False
        self.state = _terminated(code, "Completed" if code == 0 else "Error", self._message(code), begun)

    def _message(self, code: int) -> str:
        text = self.message_file.read_bytes()[:MAX_MESSAGE]
        if not text and code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            text = b"".join(self.log.read_bytes().splitlines(keepends=True)[-80:])[-2048:]
        return text.decode(errors="replace")

    async def probe(self) -> None:
        """Startup first; then readiness and liveness side by side."""
        if spec := self.spec.get("startupProbe"):
            if not await self._until(spec, True):
                return await self._unhealthy("Startup")
        self.started, self.ready = True, "readinessProbe" not in self.spec
        await self.pod.report()
        async with asyncio.TaskGroup() as group:
            for kind in ("readiness", "liveness"):
                if spec := self.spec.get(f"{kind}Probe"):
                    group.create_task(self._ready(spec) if kind == "readiness" else self._alive(spec))

    async def _ready(self, spec: Object) -> None:
        while True:
            self.ready = await self._until(spec, not self.ready) == (not self.ready) != self.ready
            await self.pod.report()

    async def _alive(self, spec: Object) -> None:
        await self._until(spec, False)
        await self._unhealthy("Liveness")

    async def _unhealthy(self, kind: str) -> None:
        await self.kubelet.client.event(self.pod.object, "Warning", "Unhealthy", f"{kind} probe failed")
        await self.terminate(self.pod.object["spec"]["terminationGracePeriodSeconds"])

    async def _until(self, spec: Object, wanted: bool) -> bool:
        """Probe until it answers `wanted` often enough; a startup probe that fails often enough ends with False."""
        await asyncio.sleep(spec.get("initialDelaySeconds", 0))
        streak, last = 0, None
        while True:
            answer = await self._ask(spec)
            streak, last = streak + 1 if answer is last else 1, answer
            if streak >= spec.get("successThreshold" if answer else "failureThreshold", 1 if answer else 3):
                if answer is wanted or spec is self.spec.get("startupProbe"):
                    return answer
            await asyncio.sleep(spec.get("periodSeconds", 10))

    async def _ask(self, spec: Object) -> bool:
        timeout = spec.get("timeoutSeconds", 1)
        if "exec" in spec:
            try:
                process = await self.kubelet.processes.start(spec["exec"]["command"], self.env, self.cwd, self.log)
                return await asyncio.wait_for(self.kubelet.processes.wait(process), timeout) == 0
            except (OSError, TimeoutError):
                return False
        get = spec["httpGet"]
        ports = {one.get("name"): one["containerPort"] for one in self.spec.get("ports", ())}
        url = f"http://{get.get('host') or self.pod.address}:{ports.get(get['port'], get['port'])}{get.get('path', '/')}"
        try:
            async with ClientSession(timeout=ClientTimeout(total=timeout)) as session, session.get(url) as response:
                return 200 <= response.status < 400
        except (ClientError, OSError, TimeoutError):
            return False

    async def terminate(self, grace: float) -> None:
        """SIGTERM for the main process, SIGKILL for the group when the grace period is over."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            kill_group(process, signal.SIGKILL)


class Pod:
    """One pod from binding to removal."""

    def __init__(self, kubelet: "Kubelet", obj: Object) -> None:
        self.kubelet, self.object = kubelet, obj
        meta = obj["metadata"]
        self.directory = kubelet.directory / "pods" / meta["uid"]
        self.address = kubelet.next_address()
        self.begun = stamp()
        self.containers = [Container(kubelet, self, spec) for spec in obj["spec"]["containers"]]
        self.stopping = False
        self.deadline: asyncio.TimerHandle | None = None
        self._stop = asyncio.Event()
        self._reported: Object = {}
        self._lock = asyncio.Lock()
        self.object = {**obj, "status": {**obj["status"], "podIP": self.address, "hostIP": "127.0.0.1"}}

    async def pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def changed(self, obj: Object) -> None:
        """Take note of a new version; the only change that matters here is deletion."""
        self.object["metadata"] = obj["metadata"]
        if obj["metadata"].get("deletionTimestamp"):
            self.stop(obj["metadata"].get("deletionGracePeriodSeconds") or 0)

    def stop(self, grace: float) -> None:
        if not self.stopping:
            self.stopping = True
            self._stop.set()
            for container in self.containers:
                self.kubelet.spawn(container.terminate(grace))

    async def run(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        while not self.stopping:
            try:
                if self.object["spec"].get("initContainers"):
                    raise CannotStart("CreateContainerConfigError", "init containers are not supported here")
                for volume in self.object["spec"].get("volumes", ()):
                    await Sources(self.kubelet.client, self.object).volume(
                        volume, self.directory / "volumes" / volume["name"])
                break
            except CannotStart as failure:
                for container in self.containers:
                    container.state = {"waiting": {"reason": failure.reason, "message": failure.message}}
                await self.report()
                await self.pause(RETRY_SECONDS)
        await asyncio.gather(*(container.run() for container in self.containers))
        await self._stop.wait()
        await self.kubelet.client.delete(path_of(self.object, "pods"), gracePeriodSeconds=0,
                                         preconditions={"uid": self.object["metadata"]["uid"]})

    def phase(self) -> str:
        states = [container.state for container in self.containers]
        if all("terminated" in state for state in states):
            return "Succeeded" if all(state["terminated"]["exitCode"] == 0 for state in states) else "Failed"
        begun = any("waiting" not in state or container.restarts or container.last
                    for state, container in zip(states, self.containers, strict=True))
        return "Running" if begun else "Pending"

    def status(self) -> Object:
        ready = all(container.ready for container in self.containers)
        held = self.object["status"].get("conditions", [])
        known = {one["type"]: one for one in held}
        for kind, true in (("PodScheduled", True), ("Initialized", True), ("ContainersReady", ready), ("Ready", ready)):
            text = "True" if true else "False"
            if known.get(kind, {}).get("status") != text:
                known[kind] = {"type": kind, "status": text, "lastTransitionTime": stamp()}
        return {"phase": self.phase(), "startTime": self.begun, "podIP": self.address, "hostIP": "127.0.0.1",
                "podIPs": [{"ip": self.address}], "conditions": list(known.values()),
                "containerStatuses": [container.status() for container in self.containers]}

    async def report(self) -> None:
        """Write the status if it is news. A pod that is gone has nobody to tell."""
        async with self._lock:
            status = self.status()
            if status == self._reported:
                return
            try:
                answer = await self.kubelet.client.patch(path_of(self.object, "pods", "status"), {
                    "metadata": {"uid": self.object["metadata"]["uid"]}, "status": status})
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
                return
            self._reported = status
            self.object["status"] = answer["status"]


class Kubelet:
    """The node `name`. Everything it writes is under `directory`."""

    def __init__(self, client: Client, directory: Path, name: str = "local", backoff: float = 10.0) -> None:
        self.client, self.directory, self.name, self.backoff = client, directory, name, backoff
        self.processes = Processes()
        self.pods: dict[str, Pod] = {}
        self._network = f"127.{random.randint(1, 250)}.{random.randint(0, 255)}"
        self._hosts = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def next_address(self) -> str:
        self._hosts += 1
        head, second, third = self._network.split(".")
        return f"{head}.{second}.{(int(third) + self._hosts // 250) % 256}.{self._hosts % 250 + 2}"

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a pod's task failed", exc_info=task.exception())

    async def run(self) -> None:
        """Until cancelled; then every process it started is killed."""
        runner = web.AppRunner(web.Application(), access_log=None, shutdown_timeout=0.5)
        runner.app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._serve_log)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=loopback_tls()[0]).start()
        mine = Informer(self.client, "/api/v1/pods", self._pod_changed, fieldSelector=f"spec.nodeName={self.name}")
        unbound = Informer(self.client, "/api/v1/pods", self._pod_waits, fieldSelector="spec.nodeName=")
        try:
            await self._register(runner.addresses[0][1])
            async with asyncio.TaskGroup() as group:
                for work in (mine.run(), unbound.run(), self._heartbeat()):
                    group.create_task(work)
        finally:
            self.processes.stop()
            for task in self._tasks:
                task.cancel()
            await runner.cleanup()

    async def _register(self, port: int) -> None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
        room = {"cpu": str(os.cpu_count()), "memory": f"{memory}Ki", "pods": "1000", "ephemeral-storage": "100Gi"}
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}, "spec": {}}
        try:
            await self.client.request("POST", "/api/v1/nodes", node)
        except ApiError as error:
            if error.code != 409:
                raise
        moment = stamp()
        await self.client.patch(f"/api/v1/nodes/{self.name}/status", {"status": {
            "capacity": room, "allocatable": room, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": self.name}],
            "nodeInfo": {"kubeletVersion": "v1.36.0+process", "operatingSystem": "linux", "architecture": os.uname().machine,
                         "containerRuntimeVersion": "process://1", "osImage": "", "kernelVersion": os.uname().release,
                         "machineID": "", "systemUUID": "", "bootID": "", "kubeProxyVersion": ""},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": moment,
                            "lastTransitionTime": moment, "message": "the process kubelet is ready"}]}})

    async def _heartbeat(self) -> None:
        """Renew the node's Lease, which a real node controller wants to see."""
        root = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}, "spec": {
            "holderIdentity": self.name, "leaseDurationSeconds": 40}}
        while True:
            try:
                renewed = {"spec": {"renewTime": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
                await self.client.patch(f"{root}/{self.name}", renewed)
            except ApiError as error:
                if error.code != 404:
                    log.warning("node lease: %s", error)
                else:
                    await self.client.request("POST", root, lease)
            except (ClientError, OSError) as failure:
                log.warning("node lease: %s", failure)
            await asyncio.sleep(10)

    def _pod_waits(self, kind: str, pod: Object) -> None:
        if kind != "DELETED" and not pod["metadata"].get("deletionTimestamp") and not pod["spec"].get("nodeName"):
            self.spawn(self._bind(pod))

    async def _bind(self, pod: Object) -> None:
        meta = pod["metadata"]
        if missing := await self._misfit(pod):
            if not any(one["type"] == "PodScheduled" for one in pod["status"].get("conditions", ())):
                message = f"0/1 nodes are available: 1 {missing}."
                await self.client.patch(path_of(pod, "pods", "status"), {"status": {"conditions": [{
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
                    "lastTransitionTime": stamp()}]}})
                await self.client.event(pod, "Warning", "FailedScheduling", message)
            return
        try:
            await self.client.request("POST", path_of(pod, "pods", "binding"), {
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self.name}})
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return
        await self.client.event(pod, "Normal", "Scheduled",
                                f"Successfully assigned {meta['namespace']}/{meta['name']} to {self.name}")

    async def _misfit(self, pod: Object) -> str:
        """Why the pod does not fit: a label the node lacks, or a resource it has none of. Amounts are not counted."""
        node = await self.client.get(f"/api/v1/nodes/{self.name}")
        if (pod["spec"].get("nodeSelector") or {}).items() - node["metadata"].get("labels", {}).items():
            return "node(s) didn't match Pod's node affinity/selector"
        wanted = {name for one in pod["spec"]["containers"] for name in (one.get("resources") or {}).get("limits", {})}
        missing = sorted(wanted - node["status"]["allocatable"].keys())
        return f"Insufficient {missing[0]}" if missing else ""

    def _pod_changed(self, kind: str, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        pod = self.pods.get(uid)
        if kind == "DELETED":
            if pod:
                pod.stop(0)
                shutil.rmtree(self.pods.pop(uid).directory, ignore_errors=True)
        elif pod:
            pod.changed(obj)
        elif obj["status"].get("phase") in ("Succeeded", "Failed"):
            return
        elif obj["status"].get("startTime"):
            self.spawn(self._lost(obj))
        else:
            self.pods[uid] = pod = Pod(self, obj)
            pod.changed(obj)
            self.spawn(pod.run())

    async def _lost(self, obj: Object) -> None:
        """A pod of an earlier kubelet: its processes went with that one."""
        gone = _terminated(137, "ContainerStatusUnknown", "the kubelet restarted: its processes are gone", stamp())
        statuses = [{**one, "ready": False, "started": False, "state": gone}
                    for one in obj["status"].get("containerStatuses", ())]
        try:
            await self.client.patch(path_of(obj, "pods", "status"), {
                "status": {"phase": "Failed", "containerStatuses": statuses}})
        except ApiError as error:
            if error.code != 404:
                raise
        if obj["metadata"].get("deletionTimestamp"):
            await self.client.delete(path_of(obj, "pods"), gracePeriodSeconds=0)

    async def _serve_log(self, request: web.Request) -> web.StreamResponse:
        """A container's log; follows it until the process ends when asked to."""
        match = request.match_info
        found = [container for pod in self.pods.values() for container in pod.containers
                 if container.name == match["container"] and pod.object["metadata"]["name"] == match["pod"]
                 and pod.object["metadata"]["namespace"] == match["namespace"]]
        if not found:
            raise web.HTTPNotFound(text=f"no log of {match['container']}")
        container = found[-1]
        path = container.log
        if request.query.get("previous") == "true":
            path = container.directory / f"{container.restarts - 1}.log"
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        if not path.exists():
            return response
        with path.open("rb") as file:
            if "tailLines" in request.query:
                count = int(request.query["tailLines"])
                await response.write(b"".join(file.readlines()[-count:] if count else []))
            while True:
                ended = "running" not in container.state
                chunk = file.read(1 << 16)
                if chunk:
                    await response.write(chunk)
                elif ended or request.query.get("follow") not in ("true", "1"):
                    return response
                else:
                    await asyncio.sleep(0.1)


def _terminated(code: int, reason: str, message: str, begun: str) -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, "startedAt": begun,
                           "finishedAt": stamp()}}


