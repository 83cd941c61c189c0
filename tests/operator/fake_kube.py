"""A Kube without a server: objects in a dictionary, with resourceVersions, conflicts and scripted watches."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from typing import Any

from rephrase_operator.cluster.kube import ApiError


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch applied, RFC 7386 word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class FakeKube:
    """Answers as the API server would.

    `fail` makes the next requests fail, by method (`GET`) or by method and the path's end (`POST jobs`).
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.fail: dict[str, list[Exception]] = {}
        self.events: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        self.watched: asyncio.Queue[str] = asyncio.Queue()
        self.done: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.pages: list[dict[str, Any]] = []
        self._version = 0

    server = "https://127.0.0.1:6443"

    def store(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Put an object, with a new resourceVersion."""
        self._version += 1
        stored = copy.deepcopy(dict(body))
        given = {"uid": f"uid-{self._version}"} | stored.get("metadata", {})
        stored["metadata"] = given | {"resourceVersion": str(self._version)}
        self.objects[path] = stored
        return copy.deepcopy(stored)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "",
    ) -> Any:
        self.requests.append((method, path))
        self.done.put_nowait((method, path))
        failures = self.fail.get(f"{method} {path.rpartition('/')[2]}") or self.fail.get(method)
        if failures:
            raise failures.pop(0)
        if query is not None and "labelSelector" in query:
            return self.pages.pop(0) if self.pages else {"items": [], "metadata": {"resourceVersion": "1"}}
        if query is not None and "dryRun" in query:
            return body
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise ApiError(409, "AlreadyExists", path)
            return self.store(path, body)
        path = path.removesuffix("/status")
        if path not in self.objects:
            raise ApiError(404, "NotFound", path)
        known = self.objects[path]
        if method == "DELETE":
            return self.objects.pop(path)
        if method == "GET":
            return copy.deepcopy(known)
        if body.get("metadata", {}).get("resourceVersion") not in (
            None,
            known["metadata"]["resourceVersion"],
        ):
            raise ApiError(409, "Conflict", path)
        return self.store(path, merged(known, body) if method == "PATCH" else body)

    async def watch(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        self.watched.put_nowait(f"{path}@{query['resourceVersion']}")
        while True:
            event = await self.events.get()
            try:
                if isinstance(event, Exception):
                    raise event
                if not event:
                    return
                yield event
            finally:
                self.events.task_done()
