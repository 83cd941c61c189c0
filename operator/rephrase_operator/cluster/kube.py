"""The part of the Kubernetes API that the operator uses: requests in plain JSON.

The official asynchronous client sends them, and takes care of authentication, TLS and token rotation. Objects
stay plain data, because client models of a hundred thousand pods would take gigabytes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from importlib import metadata
from typing import Any, Self

import aiohttp
from kubernetes.aio import client, config

from rephrase_operator import api

log = logging.getLogger(__name__)

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

NAME = "rephrase-operator"
"""Who writes, for the API server's audit log (user agent) and `managedFields` (field manager)."""

UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)
"""What is raised when the API server does not answer."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WRITES = ("POST", "PUT", "PATCH")
_TIMEOUT_SECONDS = 30
_WATCH_SECONDS = 60
"""How long the API server keeps a watch open. A connection that is dead stays unnoticed for at most this
long.
"""


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str, causes: Iterable[str] = ()) -> None:
        super().__init__(f"{message} ({status} {reason})")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = frozenset(causes)

    @property
    def refused(self) -> bool:
        """True if the same request will fail again until somebody changes something."""
        return self.status in (400, 403, 422)

    @property
    def namespace_ends(self) -> bool:
        """True when the namespace is being deleted: nothing can be created there any more."""
        return "NamespaceTerminating" in self.causes


class Kube:
    """A connection to one API server."""

    def __init__(self, api_client: Any) -> None:
        self.client = api_client
        self.observe: Callable[[str, int | None, float], None] = lambda *_: None
        """Told of every request: its method, the status of the answer (None without one), and the seconds
        until then."""
        self.client.user_agent = f"{NAME}/{metadata.version(NAME)}"

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self.client.configuration.host)

    @classmethod
    async def connect(cls) -> Self:
        """Connect as the pod's service account, or with the kubeconfig ($KUBECONFIG)."""
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            await config.load_kube_config(client_configuration=settings)
        return cls(client.ApiClient(settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Any:
        """Send a request and return the decoded answer. Raises ApiError, or aiohttp's errors without an
        answer.
        """
        asked: dict[str, Any] = {"fieldManager": NAME} if method in _WRITES else {}
        response = await self._send(
            method, path, asked | dict(query or {}), body, content_type, _TIMEOUT_SECONDS
        )
        text = await response.read()
        if response.status >= 300:
            raise _error(response, text)
        return json.loads(text)

    async def watch(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The events of one watch, until the server ends it. Raises ApiError, also for an ERROR event."""
        asked = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": _WATCH_SECONDS, **query}
        response = await self._send("GET", path, asked, None, JSON, _WATCH_SECONDS + _TIMEOUT_SECONDS)
        try:
            if response.status >= 300:
                raise _error(response, await response.read())
            rest = b""
            # The lines are cut here, because the stream's own readline refuses lines as long as a big object.
            async for chunk in response.response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise ApiError(
                            status.get("code", 500), status.get("reason", ""), status.get("message", "")
                        )
                    yield event
        finally:
            response.response.close()

    async def _send(
        self, method: str, path: str, query: Mapping[str, Any], body: Any, content_type: str, seconds: float
    ) -> Any:
        headers = {"Accept": JSON, "Content-Type": content_type}
        prepared = await self.client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        began = time.monotonic()
        try:
            response = await self.client.call_api(*prepared, _request_timeout=seconds)
        except UNREACHABLE:
            self.observe(method, None, time.monotonic() - began)
            raise
        self.observe(method, response.status, time.monotonic() - began)
        return response


def plainly(error: Exception) -> str:
    """Why a request failed, in a few words: aiohttp's own describe its objects."""
    if isinstance(error, ApiError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    reason = getattr(error, "os_error", error)
    return f"{getattr(reason, 'strerror', None) or reason or type(error).__name__}"[:200]


def _error(response: Any, text: bytes) -> ApiError:
    try:
        status = json.loads(text)
        causes = [cause.get("reason") or "" for cause in (status.get("details") or {}).get("causes") or ()]
        return ApiError(response.status, status.get("reason") or "", status.get("message") or "", causes)
    except (ValueError, AttributeError):
        # A proxy in front of the API server may answer with HTML.
        return ApiError(response.status, response.reason or "", text[:200].decode("utf-8", "replace"))


def _scoped(prefix: str, plural: str, namespace: str | None, name: str = "") -> str:
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "")


def rephrase_jobs(namespace: str | None, name: str = "") -> str:
    """Path of RephraseJobs, or of one."""
    return _scoped(f"/apis/{api.API_VERSION}", api.PLURAL, namespace, name)


def jobs(namespace: str | None, name: str = "") -> str:
    """Path of Jobs, or of one."""
    return _scoped("/apis/batch/v1", "jobs", namespace, name)


def pods(namespace: str | None) -> str:
    """Path of pods."""
    return _scoped("/api/v1", "pods", namespace)


def claims(namespace: str, name: str = "") -> str:
    """Path of PersistentVolumeClaims, or of one."""
    return _scoped("/api/v1", "persistentvolumeclaims", namespace, name)


def config_maps(namespace: str, name: str = "") -> str:
    """Path of ConfigMaps, or of one."""
    return _scoped("/api/v1", "configmaps", namespace, name)


def events(namespace: str) -> str:
    """Path of Events."""
    return _scoped("/api/v1", "events", namespace)


def leases(namespace: str, name: str = "") -> str:
    """Path of Leases, or of one."""
    return _scoped("/apis/coordination.k8s.io/v1", "leases", namespace, name)


def crds(name: str) -> str:
    """Path of a CustomResourceDefinition."""
    return _scoped("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", None, name)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `new` of `old`; empty when they are the same."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif value != before:
            patch[key] = value
    return patch
