"""One pod as local processes: containers, termination, and the status that the API shows."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from localcluster.claims import remove
from localcluster.client import path_of
from localcluster.clock import stamp
from localcluster.errors import ApiError, Object
from localcluster.podspec import KUBECONFIG, TOKENS, CannotStartError, Sources, expand, rewriter, unsupported
from localcluster.probes import probe
from localcluster.processes import kill_group

if TYPE_CHECKING:
    from localcluster.kubelet import Kubelet

RETRY_SECONDS = 2.0
MAX_MESSAGE = 4096


def terminated(code: int, reason: str, message: str, begun: str) -> Object:
    """A container state."""
    times = {"startedAt": begun, "finishedAt": stamp()}
    said = {"message": message} if message else {}
    return {"terminated": {"exitCode": code, "reason": reason, **said, **times}}


class Container:
    """One container: its process, and its state as the API shows it."""

    def __init__(self, pod: "Pod", spec: Object) -> None:
        self.pod, self.spec, self.name = pod, spec, spec["name"]
        self.state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self.last: Object = {}
        """The state in which it ended before its last restart."""
        self.restarts = 0
        self.ready = "readinessProbe" not in spec
        self.process: asyncio.subprocess.Process | None = None
        self.directory = pod.directory / "containers" / self.name
        self.log = self.directory / "log"
        self._message = self.directory / "termination-log"
        self._processes = pod.kubelet.processes
        self._env: dict[str, str] = {}
        self._home = self._cwd = self.directory / "home"
        self._temporary = pod.temporary / self.name

    def status(self) -> Object:
        """An entry of containerStatuses."""
        identity = {"name": self.name, "image": self.spec.get("image", ""), "imageID": ""}
        identity["containerID"] = f"process://{self.process.pid}" if self.process else ""
        return {
            **identity,
            "restartCount": self.restarts,
            "ready": "running" in self.state and self.ready,
            "started": "running" in self.state,
            "state": self.state,
            "lastState": self.last,
        }

    async def run(self) -> None:
        """What cannot start waits. What has ended stays ended, unless the pod restarts it always."""
        while not self.pod.stopping.is_set():
            try:
                command = await self._prepare()
            except CannotStartError as failure:
                await self.wait(failure)
            else:
                await self._execute(command)
                if not self.pod.restarts_always or self.pod.stopping.is_set():
                    break
                self.last, self.restarts = self.state, self.restarts + 1
                await self.wait(CannotStartError("CrashLoopBackOff", f"restarting container {self.name}"))
        if "terminated" not in self.state:
            self.state = terminated(
                137, "ContainerStatusUnknown", "the pod was deleted before it started", stamp()
            )
        await self.pod.report()

    async def wait(self, failure: CannotStartError) -> None:
        """Say why, and pause before the next try."""
        self.state = {"waiting": {"reason": failure.reason, "message": str(failure)}}
        await self.pod.report()
        await self.pod.pause(RETRY_SECONDS)

    async def _prepare(self) -> list[str]:
        """Environment, paths and command line. Raises CannotStartError."""
        if not self.spec.get("command"):
            raise CannotStartError(
                "ErrImagePull", "the process kubelet pulls no images: the container needs a command"
            )
        mounts = {self.spec["terminationMessagePath"]: self._message}
        own = {"HOME": str(self._home), "TMPDIR": str(self._temporary)}
        for mount in self.spec.get("volumeMounts", ()):
            if mount["mountPath"] == "/tmp":  # noqa: S108
                continue  # A pod has a TMPDIR of its own anyway, and paths of the tests begin with /tmp.
            folder = self.pod.volumes[mount["name"]] / mount.get("subPath", "")
            mounts[mount["mountPath"]] = folder
            if mount["mountPath"] == TOKENS:
                own["KUBECONFIG"] = str(folder / KUBECONFIG)
        rewrite = rewriter(mounts)
        env = await Sources(self.pod.kubelet.client, self.pod.object).environment(self.spec)
        # Caches (XDG, Hugging Face, vLLM, Triton, Torch) are below HOME or TMPDIR unless a variable says
        # otherwise, and no variable of the kubelet gets here.
        own["HOSTNAME"] = self.pod.object["metadata"]["name"]
        self._env = own | {key: rewrite(env[key]) for key in env}
        self._cwd = Path(rewrite(self.spec.get("workingDir", str(self._home))))
        return [rewrite(expand(word, env)) for word in [*self.spec["command"], *self.spec.get("args", ())]]

    async def _execute(self, command: list[str]) -> None:
        for folder in (self._home, self._temporary):
            folder.mkdir(parents=True, exist_ok=True)
        self._message.touch()
        begun = stamp()
        try:
            process = await self._processes.start(command, self._env, self._cwd, self.log)
        except OSError as failure:
            self.state = terminated(128, "StartError", f"{command[0]}: {failure}", begun)
            return
        self.process, self.state = process, {"running": {"startedAt": begun}}
        if self.pod.stopping.is_set():  # deleted while it started
            process.terminate()
        await self.pod.report()
        probes = self._probes()
        code = await self._processes.wait(process)
        for task in probes:
            task.cancel()
        text = self._message.read_bytes()[:MAX_MESSAGE]
        if not text and code and self.spec["terminationMessagePolicy"] == "FallbackToLogsOnError":
            text = b"".join(self.log.read_bytes().splitlines(keepends=True)[-80:])[-2048:]
        reason = "Error" if code else "Completed"
        self.state = terminated(code, reason, text.decode(errors="replace"), begun)

    def _probes(self) -> list[asyncio.Task[None]]:
        self.ready = "readinessProbe" not in self.spec
        tell = {"readinessProbe": self._be_ready, "livenessProbe": self._be_alive}
        return [
            asyncio.create_task(probe(self.spec[kind], self.spec, self.pod.address, heard))
            for kind, heard in tell.items()
            if self.spec.get(kind)
        ]

    async def _be_ready(self, passed: bool) -> None:
        self.ready = passed
        await self.pod.report()

    async def _be_alive(self, passed: bool) -> None:
        if not passed:
            await self.terminate(self.pod.object["spec"].get("terminationGracePeriodSeconds", 30))

    async def terminate(self, grace: float) -> None:
        """SIGTERM for the main process, SIGKILL for the group when the grace period is over."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), grace)
        except TimeoutError:
            kill_group(self.process)


class Pod:
    """One pod from binding to removal."""

    def __init__(self, kubelet: "Kubelet", obj: Object, address: str) -> None:
        self.kubelet, self.address = kubelet, address
        self.object: Object = {**obj, "status": {**obj["status"], "podIP": address, "hostIP": "127.0.0.1"}}
        uid = obj["metadata"]["uid"]
        self.directory = kubelet.directory / "pods" / uid
        self.temporary = kubelet.processes.scratch / uid[:8]
        self.volumes: dict[str, Path] = {}
        """Where the volumes are, by name."""
        self.containers = [kubelet.container(self, spec) for spec in obj["spec"]["containers"]]
        self.stopping = asyncio.Event()
        self.restarts_always = obj["spec"].get("restartPolicy") == "Always"
        self._begun = stamp()
        self._reported: Object = {}
        self._lock = asyncio.Lock()

    async def pause(self, seconds: float) -> None:
        """Shorter when the pod is deleted meanwhile."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return

    def changed(self, obj: Object) -> None:
        """Take note of conditions that others have set, and of deletion."""
        conditions = obj["status"].get("conditions", [])
        self.object = {**obj, "status": {**self.object["status"], "conditions": conditions}}
        if obj["metadata"].get("deletionTimestamp"):
            self.stop(obj["metadata"].get("deletionGracePeriodSeconds") or 0)

    def stop(self, grace: float) -> None:
        """Begin to terminate."""
        if not self.stopping.is_set():
            self.stopping.set()
            for container in self.containers:
                self.kubelet.spawn(container.terminate(grace))

    async def run(self) -> None:
        """Until the pod is deleted; then remove its files, and tell the API server that it may go."""
        self.directory.mkdir(parents=True, exist_ok=True)
        while not self.stopping.is_set():
            try:
                await self._lay_out()
                break
            except CannotStartError as failure:
                await asyncio.gather(*(container.wait(failure) for container in self.containers))
        await asyncio.gather(*(container.run() for container in self.containers))
        await self.stopping.wait()
        for folder in (self.directory, self.temporary):
            await remove(folder)
        uid = {"uid": self.object["metadata"]["uid"]}
        await self.kubelet.client.delete(
            path_of(self.object, "pods"), gracePeriodSeconds=0, preconditions=uid
        )

    async def _lay_out(self) -> None:
        spec = self.object["spec"]
        if text := unsupported(spec):
            raise CannotStartError("CreateContainerConfigError", text)
        sources = Sources(self.kubelet.client, self.object)
        for volume in spec.get("volumes", ()):
            if claim := volume.get("persistentVolumeClaim"):
                self.volumes[volume["name"]] = await self.kubelet.claims.directory_of(
                    self.object["metadata"]["namespace"], claim["claimName"]
                )
            else:
                self.volumes[volume["name"]] = root = self.directory / "volumes" / volume["name"]
                await sources.volume(volume, root)

    def _status(self) -> Object:
        statuses = [container.status() for container in self.containers]
        ready = all(status["ready"] for status in statuses)
        codes = [container.state.get("terminated", {}).get("exitCode") for container in self.containers]
        waits = any("waiting" in one.state and not one.restarts for one in self.containers)
        phase = "Pending" if waits else "Running"
        if None not in codes:
            phase = "Failed" if any(codes) else "Succeeded"
        conditions = {one["type"]: one for one in self.object["status"].get("conditions", ())}
        for kind, true in (
            ("PodScheduled", True),
            ("Initialized", True),
            ("ContainersReady", ready),
            ("Ready", ready),
        ):
            if conditions.get(kind, {}).get("status") != str(true):
                conditions[kind] = {"type": kind, "status": str(true), "lastTransitionTime": stamp()}
        addresses = {"podIP": self.address, "podIPs": [{"ip": self.address}], "hostIP": "127.0.0.1"}
        times = {"startTime": self._begun}
        return {
            "phase": phase,
            **times,
            **addresses,
            "conditions": list(conditions.values()),
            "containerStatuses": statuses,
        }

    async def report(self) -> None:
        """Write the status if it has changed. Nothing is written for a pod that is gone."""
        async with self._lock:
            status = self._status()
            if status == self._reported:
                return
            body = {"metadata": {"uid": self.object["metadata"]["uid"]}, "status": status}
            try:
                answer = await self.kubelet.client.patch(path_of(self.object, "pods", "status"), body)
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
                return
            self._reported, self.object["status"] = status, answer["status"]
