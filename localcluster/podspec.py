"""From a pod's spec to what a local process needs: environment, volumes as directories, rewritten paths.

There is no mount namespace. A volume is a directory of the pod, and wherever a mountPath stands as a path
of its own in command, args and env values, that directory's path is put in its place; likewise for
terminationMessagePath.
"""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcluster.client import Client
from localcluster.errors import ApiError, Object


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
    if isinstance(value, dict):
        return "\n".join(f'{key}="{text}"' for key, text in sorted(value.items()))
    if value is None:
        raise CannotStartError("CreateContainerConfigError", f"fieldRef {path} is not supported")
    return str(value)


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
        """What envFrom and env of a container say; raises CannotStartError for a source that is missing."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            for key, plural in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
                if ref := source.get(key):
                    data = await self._data(plural, ref["name"], ref.get("optional", False))
                    found |= {source.get("prefix", "") + name: text.decode() for name, text in data.items()}
        for entry in container.get("env", ()):
            value = await self._value(entry["valueFrom"]) if "valueFrom" in entry else entry.get("value", "")
            if value is not None:
                found[entry["name"]] = expand(value, found) if "value" in entry else value
        return found

    async def volume(self, volume: Object, root: Path) -> None:
        """Lay out one volume under `root`. Raises CannotStartError for kinds that need a real node."""
        files: dict[str, bytes] = {}
        for source in volume["projected"]["sources"] if "projected" in volume else [volume]:
            files |= await self._files(source)
        _write(root, files)

    async def _files(self, source: Object) -> dict[str, bytes]:
        kind, spec = next((key, value) for key, value in source.items() if key != "name")
        if kind == "emptyDir":
            return {}
        if kind == "downwardAPI":
            items = spec.get("items", ())
            return {item["path"]: field(self._pod, item["fieldRef"]["fieldPath"]).encode() for item in items}
        if kind == "serviceAccountToken":
            return {spec["path"]: await self._token(spec)}
        if kind not in ("configMap", "secret"):
            text = (
                f"the process kubelet has no {kind} volumes: use emptyDir, configMap, secret or "
                "persistentVolumeClaim"
            )
            raise CannotStartError("CreateContainerConfigError", text)
        plural = "configmaps" if kind == "configMap" else "secrets"
        data = await self._data(plural, spec.get("name") or spec["secretName"], spec.get("optional", False))
        wanted = {item["key"]: item["path"] for item in spec.get("items", ())} or {key: key for key in data}
        if absent := wanted.keys() - data.keys():
            raise CannotStartError(
                "CreateContainerConfigError", f"references non-existent config key: {min(absent)}"
            )
        return {path: data[key] for key, path in wanted.items()}

    async def _token(self, spec: Object) -> bytes:
        meta, account = self._pod["metadata"], self._pod["spec"].get("serviceAccountName", "default")
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        wanted = {"expirationSeconds": spec.get("expirationSeconds", 3600), "boundObjectRef": bound}
        wanted["audiences"] = [spec["audience"]] if "audience" in spec else None
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": wanted}
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        return str((await self._client.request("POST", path, body))["status"]["token"]).encode()


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
