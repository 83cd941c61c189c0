"""A small Kubernetes client: what the controllers and the kubelet know of the API server, local or real."""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from localcluster.clock import stamp
from localcluster.errors import ApiError, Object

log = logging.getLogger(__name__)
MERGE = "application/merge-patch+json"
BUSY = (429, 500, 503, 504)
PAUSES = (0.1, 0.5, 1, 2, 5, 10)
"""Seconds between tries while the server is busy or away."""


class Client:
    """Requests against one API server. Paths start at `/api` or `/apis`; failures are ApiErrors."""

    def __init__(self, server: str, token: str = "", context: ssl.SSLContext | None = None) -> None:
        self._server = server.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._context = context
        self._session: ClientSession

    @classmethod
    def from_kubeconfig(cls, path: Path) -> "Client":
        """The current context of a kubeconfig, with its token or client certificate."""
        from kubernetes import client, config  # slow to import, and needed for other clusters only

        found = client.Configuration()
        config.load_kube_config(str(path), client_configuration=found)
        context = ssl.create_default_context(cafile=found.ssl_ca_cert)
        context.check_hostname, context.verify_mode = (
            found.verify_ssl,
            ssl.CERT_REQUIRED if found.verify_ssl else ssl.CERT_NONE,
        )
        if found.cert_file:
            context.load_cert_chain(found.cert_file, found.key_file)
        return cls(found.host, found.api_key.get("BearerToken", "").removeprefix("Bearer "), context)

    async def __aenter__(self) -> "Client":
        connector = TCPConnector(limit=0, ssl=self._context or True)
        self._session = ClientSession(
            headers=self._headers, connector=connector, timeout=ClientTimeout(total=30)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **params: str
    ) -> Any:
        """The answer's body. Raises ApiError for what the server refuses, or when it stays away."""
        data = None if body is None else json.dumps(body)
        for pause in (*PAUSES, None):
            try:
                send = self._session.request(
                    method, self._server + path, data=data, params=params, headers={"Content-Type": kind}
                )
                async with send as response:
                    answer = await response.json()
                if response.status < 400:
                    return answer
                error = ApiError(response.status, answer.get("message", ""), answer.get("reason", ""))
            except (ClientError, TimeoutError) as failure:
                error = ApiError(503, f"{method} {path}: {failure!r}")
            if pause is None or error.code not in BUSY:
                raise error
            await asyncio.sleep(pause)
        return None

    async def get(self, path: str, **params: str) -> Any:
        """An object or a list."""
        return await self.request("GET", path, **params)

    async def patch(self, path: str, body: Object) -> Any:
        """A merge patch."""
        return await self.request("PATCH", path, body, MERGE)

    async def delete(self, path: str, **options: Any) -> bool:
        """False when there is nothing (or no longer this one) to delete."""
        try:
            await self.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return False
        return True

    async def watch(self, path: str, version: str, **params: str) -> Any:
        """Yields (type, object) until the server ends the watch."""
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", **params}
        timeout = ClientTimeout(sock_read=60)
        async with self._session.get(self._server + path, params=query, timeout=timeout) as response:
            if response.status >= 400:
                raise ApiError(response.status, await response.text())
            buffer = b""
            async for (
                chunk
            ) in response.content.iter_any():  # a line can be longer than aiohttp's readline takes
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    yield event["type"], event["object"]

    async def event(self, obj: Object, kind: str, reason: str, message: str) -> None:
        """Report something about an object for `kubectl describe`."""
        meta = obj["metadata"]
        namespace = meta.get("namespace", "default")
        about = {key: meta[key] for key in ("name", "namespace", "uid") if key in meta}
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
        }
        body |= {"metadata": {"generateName": f"{meta['name']}.", "namespace": namespace}}
        body |= {"involvedObject": {"apiVersion": obj["apiVersion"], "kind": obj["kind"], **about}}
        body |= {"firstTimestamp": stamp(), "lastTimestamp": stamp(), "source": {"component": "localcluster"}}
        try:
            await self.request("POST", f"/api/v1/namespaces/{namespace}/events", body)
        except ApiError as error:
            if error.code not in (403, 404):  # the namespace is on its way out
                raise


def path_of(obj: Object, plural: str, subresource: str = "") -> str:
    """Where an object lives."""
    root = "/apis/" if "/" in obj["apiVersion"] else "/api/"
    namespace = obj["metadata"].get("namespace")
    scope = f"/namespaces/{namespace}" if namespace else ""
    tail = f"/{subresource}" if subresource else ""
    return f"{root}{obj['apiVersion']}{scope}/{plural}/{obj['metadata']['name']}{tail}"


class Informer:
    """A list-and-watch of one collection: keeps a copy by uid, calls `handler(type, object)` on changes."""

    def __init__(
        self, client: Client, path: str, handler: Callable[[str, Object], None], **selectors: str
    ) -> None:
        self.objects: dict[str, Object] = {}
        self._client, self._path, self._handler, self._selectors = client, path, handler, selectors

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self.objects.values()))

    def learn(self, obj: Object) -> None:
        """Take in the answer of a write, so that the next look at the copy includes it."""
        known = self.objects.get(obj["metadata"]["uid"])
        if known is None or int(known["metadata"]["resourceVersion"]) < int(
            obj["metadata"]["resourceVersion"]
        ):
            self.objects[obj["metadata"]["uid"]] = obj

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._list_and_watch()
            except (ApiError, ClientError, TimeoutError) as failure:
                log.debug("watch of %s ended: %s", self._path, failure)
                await asyncio.sleep(0.5)

    async def _list_and_watch(self) -> None:
        listed = await self._client.get(self._path, **self._selectors)
        common = {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
        fresh = {obj["metadata"]["uid"]: {**common, **obj} for obj in listed["items"]}
        gone = [obj for uid, obj in self.objects.items() if uid not in fresh]
        self.objects = fresh
        for obj in gone:
            self._handler("DELETED", obj)
        for obj in fresh.values():
            self._handler("ADDED", obj)
        version = listed["metadata"]["resourceVersion"]
        while True:
            async for kind, obj in self._client.watch(self._path, version, **self._selectors):
                if kind == "ERROR":
                    return
                version = obj["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    self.objects.pop(obj["metadata"]["uid"], None)
                else:
                    self.learn(obj)
                self._handler(kind, obj)
