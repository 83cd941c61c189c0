"""A node of the local cluster that runs pods in containers: a kubelet that starts images, not processes.

It is as strict as the strictest cluster that is usual: it takes only pods with a read-only root file system
and without capabilities, gives each container a user id that its image does not know, and hides the shells
where the image's own code runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any

from localcluster.client import Client
from localcluster.kubelet import Kubelet
from localcluster.pods import Container as PodContainer
from localcluster.podspec import KUBECONFIG, TOKENS, CannotStartError, Sources, expand
from scripts.images.containers import Container, Mount
from scripts.images.engines import Engine

FIRST_USER, USERS = 1_000_000_000, 1_000_000
"""User ids to choose from, like those that OpenShift gives to a namespace."""

ACCESS = "/run/rephrase-api"
"""Where a pod finds its token and the kubeconfig that has it. Where the token usually lies, kopf would find
it and ask the server at https://kubernetes.default.svc, which the local cluster is not.
"""

SHELLS = ("/bin/sh", "/bin/bash")
NEEDS_SHELL = "generate"
"""The command of the one container that keeps them: on CPUs vLLM itself runs `lscpu` through a shell."""

_RESTRICTED = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
_CLIENT_ENV = ("HOME", "DOCKER_HOST", "DOCKER_CONFIG", "XDG_RUNTIME_DIR")
"""What the engine's own command line may need."""


class ImageContainer(PodContainer):
    """A container of a pod, from its image."""

    async def _prepare(self) -> list[str]:
        node = self.pod.kubelet
        assert isinstance(node, ContainerNode)
        spec, pod = self.spec, self.pod.object["spec"]
        security = pod.get("securityContext") or {}
        if (spec.get("securityContext") or {}) != _RESTRICTED or not security.get("runAsNonRoot"):
            text = f"container {self.name} may do more than {_RESTRICTED}"
            raise CannotStartError("CreateContainerConfigError", text)
        found = await Sources(node.client, self.pod.object).environment(spec)
        group = security.get("fsGroup")
        mounts = [self._mount(mount, group) for mount in spec.get("volumeMounts", ())]
        if any(mount.target == ACCESS for mount in mounts):
            found["KUBECONFIG"] = f"{ACCESS}/{KUBECONFIG}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._message.touch()
        self._message.chmod(0o666)
        mounts.append(Mount(self._message, spec["terminationMessagePath"], read_only=False))
        hidden = () if NEEDS_SHELL in spec["command"] else SHELLS
        mounts += [Mount(Path("/dev/null"), shell, read_only=True) for shell in hidden]
        container = Container(
            name=f"{self.pod.object['metadata']['name']}-{secrets.token_hex(3)}",
            image=spec["image"],
            command=tuple(expand(word, found) for word in [*spec["command"], *spec.get("args", ())]),
            env=found,
            mounts=tuple(mounts),
            user=security.get("runAsUser") or FIRST_USER + secrets.randbelow(USERS),
            groups=(group,) if group else (),
        )
        self._env = {name: os.environ[name] for name in _CLIENT_ENV if name in os.environ}
        return await asyncio.to_thread(node.engine.start, container)

    def _mount(self, mount: dict[str, Any], group: int | None) -> Mount:
        """A volume's folder, which the kubelet of a real node opens to the pod in the same way."""
        volumes = {volume["name"]: volume for volume in self.pod.object["spec"]["volumes"]}
        folder = self.pod.volumes[mount["name"]]
        if "emptyDir" in volumes[mount["name"]]:
            folder.chmod(0o777)
        elif "persistentVolumeClaim" in volumes[mount["name"]] and group:
            _give_to(group, folder)
        target = mount["mountPath"]
        if target == TOKENS:
            target = ACCESS
            _point_into_the_pod(folder / KUBECONFIG)
        return Mount(folder, target, read_only=bool(mount.get("readOnly")))


def _give_to(group: int, folder: Path) -> None:
    """Do what a kubelet does for fsGroup: let the group read and write all that lies on a volume.

    Who is not root, and so can't give files away, lets everybody.
    """
    root = os.geteuid() == 0
    for path in [folder, *folder.rglob("*")]:
        if root:
            os.chown(path, -1, group)
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
        elif path.stat().st_uid == os.geteuid():
            path.chmod(0o777 if path.is_dir() else 0o666)


def _point_into_the_pod(kubeconfig: Path) -> None:
    """Put the token itself into the kubeconfig, because kopf reads no file that it names. The certificate
    is named: the client would write its content to a temporary file, for which the operator has no folder
    and on a real cluster no need.
    """
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    cluster.pop("certificate-authority-data", None)
    cluster["certificate-authority"] = f"{ACCESS}/ca.crt"
    config["users"][0]["user"] = {"token": kubeconfig.with_name("token").read_text()}
    kubeconfig.write_text(json.dumps(config))


class ContainerNode(Kubelet):
    """The node."""

    container = ImageContainer

    def __init__(self, client: Client, directory: Path, name: str, engine: Engine) -> None:
        super().__init__(client, directory, name)
        self.engine = engine
