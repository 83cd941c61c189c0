"""HTTP in front of the verbs: routing, authentication and encodings (JSON, tables, watch streams)."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from ssl import SSLContext
from typing import Any

from aiohttp import web

from localcluster.authz import Authority, Request
from localcluster.discovery import answer
from localcluster.errors import ApiError, Object
from localcluster.patches import merge_patch, strategic_patch
from localcluster.resources import OBJECTS, Registry
from localcluster.selectors import Predicate, selector
from localcluster.store import Event, Store
from localcluster.subresources import Subresources
from localcluster.tables import table
from localcluster.verbs import Target, Verbs

log = logging.getLogger(__name__)
PATCHES = {
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_patch,
}
UNREAD_PATCHES = {"apply-patch": "client-side apply", "json-patch": "a merge patch"}
NOT_HERE = {"pods": ("eviction", "exec", "attach", "portforward", "proxy", "ephemeralcontainers", "resize")}
BOOKMARK_SECONDS = 10
TRUE = ("true", "True", "1")


class ApiServer:
    """The API server of one cluster. `authority.admin_token` may do everything."""

    def __init__(self) -> None:
        self.store = Store()
        self.authority = Authority(self.store)
        self._registry = Registry(self.store)
        self._verbs = Verbs(self.store)
        self._subresources = Subresources(self._verbs, self.store, self.authority)
        for obj in OBJECTS:
            group, _, version = obj["apiVersion"].rpartition("/")
            resource = self._registry.find(group, version, obj["plural"])
            assert resource is not None
            self._verbs.create(Target(resource), {key: obj[key] for key in obj if key != "plural"})

    async def start(self, context: SSLContext, port: int) -> tuple[web.AppRunner, str]:
        """Listen on 127.0.0.1; returns what has to be cleaned up, and the URL."""
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        return runner, f"https://127.0.0.1:{runner.addresses[0][1]}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ApiError as error:
            return web.json_response(error.status(), status=error.code)
        except (KeyError, TypeError, AttributeError, ValueError) as failure:
            log.exception("%s %s", request.method, request.path_qs)
            text = f"the object could not be read: {type(failure).__name__}: {failure}"
            return web.json_response(ApiError(400, text).status(), status=400)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        if request.path in ("/healthz", "/readyz", "/livez"):
            return web.Response(text="ok")
        user = self.authority.user(request.headers.get("Authorization", ""))
        if other := request.headers.get("Impersonate-User"):
            self.authority.check(user, Request("impersonate", resource="users", name=other))
            raise ApiError(501, "localcluster lets nobody impersonate another user: it is a test double")
        target = self._target(request)
        if target is None:
            self.authority.check(user, Request(request.method.lower(), path=request.path))
            document = answer(request.path, self._registry.all())
            if document is None:
                raise ApiError(404, "the server could not find the requested resource")
            return web.json_response(document)
        verb, resource, sub = _verb(request, target), target.resource, target.subresource
        called = f"{resource.plural}/{sub}" if sub else resource.plural
        self.authority.check(user, Request(verb, resource.group, called, target.namespace, target.name))
        if sub in NOT_HERE.get(resource.plural, ()):
            raise ApiError(501, f"localcluster has no {resource.plural}/{sub}: it is a test double")
        if sub == "log":
            return await self._subresources.log(request, target)
        if verb == "watch":
            return await self._watch(request, target)
        if verb == "deletecollection":
            raise ApiError(501, "localcluster deletes no collections: delete the objects one by one")
        if verb == "list":
            return self._list(request, target)
        obj = await self._one(request, target, verb)
        response = _answer(request, target, obj, 201 if verb == "create" else 200)
        for text in target.warnings:
            response.headers.add("Warning", f'299 - "{text.replace(chr(34), chr(92) + chr(34))}"')
        return response

    async def _one(self, request: web.Request, target: Target, verb: str) -> Object:
        """Verbs on one object, or on a subresource of one."""
        if target.subresource not in ("", "status", "finalize"):
            shown = self._subresources.get(target)
            if verb == "get":
                return shown
            body = await _body(request)
            return self._subresources.put(
                target, _patch(request, target, shown, body) if verb == "patch" else body
            )
        if verb == "get":
            return self._verbs.get(target)
        body = await _body(request) if request.can_read_body else {}
        if verb == "create":
            return self._verbs.create(target, body)
        if verb == "delete":
            obj, gone = self._verbs.delete(target, {**body, **_options(request)})
            details = {"name": target.name, "kind": target.resource.plural, "uid": obj["metadata"]["uid"]}
            success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
            return {**success, "details": {**details, "group": target.resource.group}} if gone else obj
        return self._verbs.update(
            target, _patch(request, target, self._verbs.get(target), body) if verb == "patch" else body
        )

    def _target(self, request: web.Request) -> Target | None:
        """The resource, object and subresource that a path names; None for discovery paths."""
        parts = request.path.strip("/").split("/")
        skip = {"api": 2, "apis": 3}.get(parts[0], len(parts))
        rest, namespace = parts[skip:], ""
        if not rest:
            return None
        group, version = ("", parts[1]) if skip == 2 else (parts[1], parts[2])
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource = self._registry.find(group, version, rest[0])
        name, sub = (*rest[1:3], "", "")[:2]
        if resource is None or not (
            not sub or sub in resource.subresources or sub in NOT_HERE.get(resource.plural, ())
        ):
            raise ApiError(404, "the server could not find the requested resource")
        validation, dry = request.query.get("fieldValidation", ""), request.query.get("dryRun") == "All"
        return Target(resource, namespace, name, sub, validation, dry)

    def _list(self, request: web.Request, target: Target) -> web.Response:
        query, resource, selects = request.query, target.resource, _selects(request, target)
        limit, token = int(query.get("limit") or 0), query.get("continue", "")
        metadata, items = self._verbs.page(target, selects, limit, token)
        if "as=Table" in request.headers.get("Accept", ""):
            return web.json_response(table(resource, items, query.get("includeObject", "Metadata"), metadata))
        head = {"kind": resource.kind + "List", "apiVersion": resource.api_version, "metadata": metadata}
        return web.json_response({**head, "items": items})

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        events = self._events(request, target, _selects(request, target))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 3600)):
                async for kind, obj in events:
                    shown = _shown(request, target, obj, empty=kind == "BOOKMARK") if kind != "ERROR" else obj
                    await response.write(json.dumps({"type": kind, "object": shown}).encode() + b"\n")
        except (TimeoutError, ConnectionResetError):
            log.debug("watch of %s ended", target.resource.plural)  # the client asks again
        return response

    async def _events(
        self, request: web.Request, target: Target, selects: Predicate
    ) -> AsyncIterator[tuple[str, Object]]:
        """The current state if no version is given, then the changes that match the selector."""
        query, resource = request.query, target.resource
        since, kind = (
            query.get("resourceVersion") or "0",
            {"apiVersion": resource.api_version, "kind": resource.kind},
        )
        streamed = query.get("sendInitialEvents") == "true"
        initial = streamed or (since == "0" and "sendInitialEvents" not in query)
        try:
            replay, queue = self.store.subscribe(
                resource.table, self.store.version if initial else int(since)
            )
        except ApiError as gone:
            yield "ERROR", gone.status()
            return
        try:
            if initial:
                for obj in filter(selects, self.store.rows(resource.table, target.namespace)):
                    yield "ADDED", {**obj, **kind}
            if streamed:
                meta = {
                    "resourceVersion": str(self.store.version),
                    "annotations": {"k8s.io/initial-events-end": "true"},
                }
                yield "BOOKMARK", {**kind, "metadata": meta}
            for event in replay:
                queue.put_nowait(event)
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), BOOKMARK_SECONDS)
                except TimeoutError:
                    if query.get("allowWatchBookmarks") in TRUE:
                        yield "BOOKMARK", {**kind, "metadata": {"resourceVersion": str(self.store.version)}}
                    continue
                if seen := _seen(event, target.namespace, selects):
                    yield seen, {**event.object, **kind}
        finally:
            self.store.unsubscribe(resource.table, queue)


def _verb(request: web.Request, target: Target) -> str:
    if request.method == "GET" and not target.subresource:
        watch = request.query.get("watch") in TRUE
        return "watch" if watch else "get" if target.name else "list"
    verbs = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}
    verbs["DELETE"] = "delete" if target.name else "deletecollection"
    if request.method not in verbs or (request.method == "POST" and target.name and not target.subresource):
        raise ApiError(405, "the server does not allow this method on the requested resource")
    return verbs[request.method]


def _selects(request: web.Request, target: Target) -> Predicate:
    fields = request.query.get("fieldSelector", "")
    if target.name:
        fields = f"metadata.name={target.name},{fields}".rstrip(",")
    return selector(request.query.get("labelSelector", ""), fields, target.resource.selectable)


def _options(request: web.Request) -> Object:
    found: Object = {key: request.query[key] for key in ("propagationPolicy",) if key in request.query}
    grace = request.query.get("gracePeriodSeconds")
    return found if grace is None else {**found, "gracePeriodSeconds": int(grace)}


async def _body(request: web.Request) -> Any:
    """Raises 415 for protobuf, which kubectl's imperative `create` commands send."""
    if "protobuf" in request.content_type:
        if request.path.endswith("/token"):  # all it says is for how long
            return {}
        raise ApiError(
            415, "localcluster reads JSON, not protobuf: use `kubectl apply -f` or `kubectl create -f`"
        )
    return await request.json()


def _patch(request: web.Request, target: Target, obj: Object, patch: Any) -> Object:
    """Raises 415 for formats that the kind does not take, and 501 for those that are missing here."""
    for kind, advice in UNREAD_PATCHES.items():
        if kind in request.content_type:
            raise ApiError(501, f"localcluster has no {kind}: use {advice}")
    accepted = [kind for kind in PATCHES if "strategic" not in kind or not target.resource.custom]
    if request.content_type not in accepted:
        text = "the body of the request was in an unknown format - accepted media types include: "
        raise ApiError(415, text + ", ".join(sorted(accepted)))
    result: Object = PATCHES[request.content_type](obj, patch)
    return result


def _shown(request: web.Request, target: Target, obj: Object, *, empty: bool = False) -> Object:
    """An object in the encoding that the client asked for."""
    if "as=Table" not in request.headers.get("Accept", "") or obj["kind"] != target.resource.kind:
        return obj
    meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return table(
        target.resource, [] if empty else [obj], request.query.get("includeObject", "Metadata"), meta
    )


def _answer(request: web.Request, target: Target, obj: Object, status: int) -> web.Response:
    return web.json_response(_shown(request, target, obj), status=status)


def _seen(event: Event, namespace: str, selects: Predicate) -> str:
    """The type of an event for a watch with this selector; empty if the watch does not see it."""
    if namespace and event.object["metadata"].get("namespace") != namespace:
        return ""
    before = event.previous is not None and selects(event.previous)
    after = event.type != "DELETED" and selects(event.object)
    return {(True, True): "MODIFIED", (False, True): "ADDED", (True, False): "DELETED"}.get(
        (before, after), ""
    )
