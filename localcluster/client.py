"""The client of the controllers and the kubelet, for a local or a real API server: plain JSON over HTTP.

The official asynchronous client sends the requests and takes care of authentication and TLS.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientTimeout
from kubernetes.aio import client, config

from localcluster.clock import stamp
from localcluster.errors import ApiError, Object

log = logging.getLogger(__name__)
JSON = "application/json"
MERGE = "application/merge-patch+json"
BUSY = (429, 500, 503, 504)
PAUSES = (0.1, 0.5, 1, 2, 5, 10)
"""Seconds between tries while the server is busy or away."""


class Client:
    """Requests against one API server. Paths start at `/api` or `/apis`; failures are ApiErrors."""

    def __init__(self, settings: Any) -> None:
        settings.connection_pool_maxsize = 0  # no limit: each watch holds a connection
        self._client = client.ApiClient(settings)

    @classmethod
    def local(cls, url: str, token: str, authority: bytes) -> "Client":
        """The administrator of a server on this machine, whose certificate `authority` (PEM) has signed."""
        settings = client.Configuration(
            host=url, api_key={"BearerToken": f"Bearer {token}"}, ca_cert_data=authority.decode()
        )
        # Unlike Go's client, aiohttp would go to 127.0.0.1 through the proxy of the environment.
        settings.proxy, settings.client_session_kwargs = None, {"trust_env": False}
        return cls(settings)

    @classmethod
    async def from_kubeconfig(cls, path: Path) -> "Client":
        """The current context of a kubeconfig."""
        settings = client.Configuration()
        await config.load_kube_config(str(path), client_configuration=settings)
        return cls(settings)

    def kubeconfig(self, token: str) -> Object:
        """A kubeconfig for the same server. The token stands in it: kopf does not read `tokenFile`."""
        known = self._client.configuration
        cluster = {"server": known.host, "insecure-skip-tls-verify": not known.verify_ssl}
        if known.ca_cert_data:
            cluster["certificate-authority-data"] = base64.b64encode(known.ca_cert_data.encode()).decode()
        elif known.ssl_ca_cert and known.verify_ssl:
            cluster["certificate-authority"] = known.ssl_ca_cert
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "pod",
            "clusters": [{"name": "pod", "cluster": cluster}],
            "users": [{"name": "pod", "user": {"token": token}}],
            "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
        }

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def request(self, method: str, path: str, body: Any = None, kind: str = JSON, **params: str) -> Any:
        """The answer's body. Raises ApiError if the server refuses, or does not answer for long."""
        for pause in (*PAUSES, None):
            try:
                response = await self._send(method, path, params, body, kind, ClientTimeout(total=30))
                answer = await response.read()
                if response.status < 400:
                    return json.loads(answer)
                error = _error(response.status, answer)
            except (ClientError, TimeoutError) as failure:
                error = ApiError(503, f"{method} {path}: {failure!r}")
            if pause is None or error.code not in BUSY:
                raise error
            await asyncio.sleep(pause)
        return None

    async def _send(
        self, method: str, path: str, params: dict[str, str], body: Any, kind: str, limit: ClientTimeout
    ) -> Any:
        headers = {"Accept": JSON, "Content-Type": kind}
        prepared = await self._client.param_serialize(
            method,
            path,
            query_params=list(params.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*prepared, _request_timeout=limit)

    async def get(self, path: str, **params: str) -> Any:
        """An object or a list."""
        return await self.request("GET", path, **params)

    async def patch(self, path: str, body: Object) -> Any:
        """A merge patch."""
        return await self.request("PATCH", path, body, MERGE)

    async def delete(self, path: str, **options: Any) -> bool:
        """Delete an object. False if it does not exist any more, or another one has its name."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background", **options}
        try:
            await self.request("DELETE", path, options)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return False
        return True

    async def watch(self, path: str, version: str, **params: str) -> AsyncIterator[tuple[str, Object]]:
        """Yields (type, object) until the server ends the watch."""
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", **params}
        response = await self._send("GET", path, query, None, JSON, ClientTimeout(sock_read=60))
        try:
            if response.status >= 400:
                raise _error(response.status, await response.read())
            buffer = b""
            # The lines are cut here, because a line can be longer than aiohttp's readline accepts.
            async for chunk in response.response.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    yield event["type"], event["object"]
        finally:
            response.response.close()

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


def _error(code: int, body: bytes) -> ApiError:
    try:
        status = json.loads(body)
        details = status.get("details") or {}
        return ApiError(code, status.get("message", ""), status.get("reason", ""), details)
    except (ValueError, AttributeError):  # a proxy in front of the API server answers in HTML
        return ApiError(code, body[:200].decode(errors="replace"))


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
        """Take over the answer to a write, so that the copy includes it at once."""
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
