"""From a pod's spec to what a local process needs: environment, volumes as directories, rewritten paths.

There is no mount namespace. A volume is a directory of the pod, and wherever a mountPath stands as a path
of its own in command, args and env values, that directory's path is put in its place; likewise for
terminationMessagePath.
"""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcluster.client import Client
from localcluster.errors import ApiError, Object

KUBECONFIG = "kubeconfig"
"""File beside a projected token: without a mount namespace nothing lies where in-cluster clients look."""

TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where in-cluster clients look."""


class CannotStartError(Exception):
    """Why a container has to wait, as the `reason` and `message` of its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def field(pod: Object, path: str) -> str:
    """The value of a fieldRef (downward API)."""
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str(pod["metadata"].get(found[1], {}).get(found[2], ""))
    value: Any = pod
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise CannotStartError("CreateContainerConfigError", f"fieldRef {path} is not supported")
    return value


VOLUMES = ("emptyDir", "configMap", "secret", "persistentVolumeClaim", "projected")
_PROJECTED = ("serviceAccountToken", "configMap", "downwardAPI")
_CONTAINER = ("startupProbe", "lifecycle", "envFrom")
_PROBES = ("readinessProbe", "livenessProbe")


def unsupported(spec: Object) -> str:
    """What a pod's spec asks for that a process kubelet can't do; empty when it can."""
    if spec.get("restartPolicy") == "OnFailure":
        return "the process kubelet has no restartPolicy OnFailure: use Never or Always"
    if spec.get("initContainers"):
        return "the process kubelet has no initContainers: do their work in the container"
    for container in spec["containers"]:
        for key in _CONTAINER:
            if container.get(key):
                return f"the process kubelet has no {key}: leave it out of container {container['name']}"
        for key in _PROBES:
            if container.get(key) and "httpGet" not in container[key]:
                return f"the process kubelet's {key} is httpGet only, unlike that of {container['name']}"
    for volume in spec.get("volumes") or ():
        if kinds := volume.keys() - {"name", *VOLUMES}:
            return f"the process kubelet has no {min(kinds)} volumes: use {', '.join(VOLUMES)}"
        for source in (volume.get("projected") or {}).get("sources") or ():
            if kinds := source.keys() - {*_PROJECTED}:
                return f"the process kubelet projects no {min(kinds)}: use {', '.join(_PROJECTED)}"
    return ""


class Sources:
    """ConfigMaps and Secrets of a pod's namespace, as bytes by key."""

    def __init__(self, client: Client, pod: Object) -> None:
        self._client, self._pod = client, pod

    async def _data(self, plural: str, name: str, optional: bool) -> dict[str, bytes]:
        namespace = self._pod["metadata"]["namespace"]
        try:
            obj = await self._client.get(f"/api/v1/namespaces/{namespace}/{plural}/{name}")
        except ApiError as error:
            if error.code != 404:
                raise
            if optional:
                return {}
            raise CannotStartError(
                "CreateContainerConfigError", f'{plural[:-1]} "{name}" not found'
            ) from error
        texts: Object = obj.get("data") or {}
        if plural == "secrets":
            return {key: base64.b64decode(text) for key, text in texts.items()}
        binary: Object = obj.get("binaryData") or {}
        return {key: text.encode() for key, text in texts.items()} | {
            key: base64.b64decode(text) for key, text in binary.items()
        }

    async def _value(self, source: Object) -> str | None:
        """What an env entry's valueFrom says; None when it is optional and absent."""
        if "fieldRef" in source:
            return field(self._pod, source["fieldRef"]["fieldPath"])
        for key, plural in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if ref := source.get(key):
                data = await self._data(plural, ref["name"], ref.get("optional", False))
                if ref["key"] in data:
                    return data[ref["key"]].decode()
                if ref.get("optional"):
                    return None
                where = f"{self._pod['metadata']['namespace']}/{ref['name']}"
                raise CannotStartError(
                    "CreateContainerConfigError",
                    f"couldn't find key {ref['key']} in {'ConfigMap' if key[0] == 'c' else 'Secret'} {where}",
                )
        raise CannotStartError("CreateContainerConfigError", f"env source {sorted(source)} is not supported")

    async def environment(self, container: Object) -> dict[str, str]:
        """What env of a container says; raises CannotStartError for a source that is missing."""
        found: dict[str, str] = {}
        for entry in container.get("env", ()):
            value = await self._value(entry["valueFrom"]) if "valueFrom" in entry else entry.get("value", "")
            if value is not None:
                found[entry["name"]] = expand(value, found) if "value" in entry else value
        return found

    async def volume(self, volume: Object, root: Path) -> None:
        """Lay out one volume under `root`. Raises CannotStartError when what it is made of is missing."""
        files: dict[str, bytes] = {}
        for kind, plural in (("configMap", "configmaps"), ("secret", "secrets")):
            if kind in volume:
                files = await self._files(plural, volume[kind])
        for source in (volume.get("projected") or {}).get("sources") or ():
            files |= await self._projected(source)
        _write(root, files)

    async def _projected(self, source: Object) -> dict[str, bytes]:
        if "configMap" in source:
            return await self._files("configmaps", source["configMap"])
        if "downwardAPI" in source:
            items = source["downwardAPI"].get("items") or ()
            return {item["path"]: field(self._pod, item["fieldRef"]["fieldPath"]).encode() for item in items}
        path = source["serviceAccountToken"]["path"]
        token = await self._token(source["serviceAccountToken"])
        return {path: token.encode(), KUBECONFIG: json.dumps(self._client.kubeconfig(token)).encode()}

    async def _token(self, wanted: Object) -> str:
        """A token of the pod's service account, which ends with the pod."""
        meta, account = self._pod["metadata"], self._pod["spec"].get("serviceAccountName") or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec = {"expirationSeconds": wanted.get("expirationSeconds", 3600), "boundObjectRef": bound}
        if wanted.get("audience"):
            spec["audiences"] = [wanted["audience"]]
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        where = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        try:
            answer = await self._client.request("POST", where, kind)
        except ApiError as error:
            if error.code != 404:
                raise
            raise CannotStartError("ContainerCreating", f'serviceaccount "{account}" not found') from error
        token: str = answer["status"]["token"]
        return token

    async def _files(self, plural: str, spec: Object) -> dict[str, bytes]:
        data = await self._data(plural, spec.get("name") or spec["secretName"], spec.get("optional", False))
        wanted = {item["key"]: item["path"] for item in spec.get("items", ())} or {key: key for key in data}
        if absent := wanted.keys() - data.keys():
            raise CannotStartError(
                "CreateContainerConfigError", f"references non-existent config key: {min(absent)}"
            )
        return {path: data[key] for key, path in wanted.items()}


def _write(root: Path, files: dict[str, bytes]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def expand(text: str, values: dict[str, str]) -> str:
    """`$(NAME)` where NAME is known; `$$(NAME)` stays, with one dollar."""
    return re.sub(
        r"\$(\$\([^)]*\))|\$\(([^)]+)\)", lambda found: found[1] or values.get(found[2], found[0]), text
    )


def rewriter(mounts: dict[str, Path]) -> Callable[[str], str]:
    """Puts directories in the place of mount paths that start a text or follow what cannot be in a path."""
    if not mounts:
        return lambda text: text
    names = "|".join(re.escape(path.rstrip("/")) for path in sorted(mounts, key=len, reverse=True))
    pattern = re.compile(rf"(?:(?<![\w./~-])|(?<=://))({names})(?![\w.-])")
    real = {path.rstrip("/"): str(directory) for path, directory in mounts.items()}
    return lambda text: pattern.sub(lambda found: real[found[1]], text)
