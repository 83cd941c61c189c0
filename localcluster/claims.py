"""PersistentVolumeClaims on this node: each is a directory, kept for as long as the claim exists."""

import asyncio
import shutil
from pathlib import Path

from localcluster.client import Client
from localcluster.errors import ApiError, Object
from localcluster.podspec import CannotStartError


def claims_of(pod: Object) -> list[str]:
    """Names of the claims that a pod mounts."""
    volumes = pod["spec"].get("volumes") or ()
    return [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]


async def remove(folder: Path) -> None:
    """Remove a directory. A process that was just killed may still write there, so it tries several times."""
    for _ in range(20):
        if await asyncio.to_thread(_removed, folder):
            return
        await asyncio.sleep(0.05)


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


class Claims:
    """The claims of any API server. A claim need not be bound: the directory is the volume."""

    def __init__(self, client: Client, directory: Path) -> None:
        self._client, self._directory = client, directory

    async def tidy(self) -> None:
        """Remove directories whose claims were deleted while no kubelet ran."""
        listed = (await self._client.get("/api/v1/persistentvolumeclaims"))["items"]
        known = {claim["metadata"]["uid"] for claim in listed}
        for folder in self._directory.iterdir() if self._directory.exists() else ():
            if folder.name not in known:
                await remove(folder)

    async def missing(self, pod: Object) -> str:
        """The scheduler's message about the first claim that a pod can't use; empty if it can use all."""
        for name in claims_of(pod):
            claim = await self._find(pod["metadata"]["namespace"], name)
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim["metadata"].get("deletionTimestamp"):
                return f'persistentvolumeclaim "{name}" is being deleted'
        return ""

    async def directory_of(self, namespace: str, name: str) -> Path:
        """The claim's directory. Raises CannotStartError when the claim is gone."""
        claim = await self._find(namespace, name)
        if claim is None:
            raise CannotStartError("ContainerCreating", f'persistentvolumeclaim "{name}" not found')
        return self._made(claim["metadata"]["uid"])

    async def forget(self, claim: Object) -> None:
        """Remove the data of a claim that was deleted."""
        await remove(self._directory / claim["metadata"]["uid"])

    def _made(self, uid: str) -> Path:
        folder = self._directory / uid
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _find(self, namespace: str, name: str) -> Object | None:
        try:
            found: Object = await self._client.get(
                f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
            )
        except ApiError as error:
            if error.code != 404:
                raise
            return None
        return found
