"""HTTP in front of the verbs: routing, authentication, encodings (JSON, Table, watch streams), subresources."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from ssl import SSLContext
from typing import Any

from aiohttp import ClientSession, web

from localcluster.authz import RBAC, Authority, Request, User
from localcluster.clock import stamp
from localcluster.discovery import answer
from localcluster.errors import ApiError, Object
from localcluster.patches import json_patch, merge_patch, strategic_patch
from localcluster.registry import Target, Verbs, scale_of, selector
from localcluster.resources import Registry
from localcluster.store import Event, Store
from localcluster.tables import table

PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": merge_patch, "application/strategic-merge-patch+json": strategic_patch,
    "application/json-patch+json": json_patch}
BOOKMARK_SECONDS = 10


class ApiServer:
    """One cluster. `start` listens on loopback; `authority.admin_token` opens every door."""

    def __init__(self) -> None:
        self.store = Store()
        self.authority = Authority(self.store)
        self.registry = Registry(self.store)
        self.verbs = Verbs(self.store)
        self._bootstrap()

    def _bootstrap(self) -> None:
        everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        reads = {"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version", "/healthz"],
                 "verbs": ["get"]}
        asks = {"apiGroups": ["authorization.k8s.io", "authentication.k8s.io"], "verbs": ["create"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectreviews"]}
        roles = {"cluster-admin": ([everything, {"nonResourceURLs": ["*"], "verbs": ["*"]}], "system:masters"),
                 "system:discovery": ([reads, asks], "system:authenticated")}

        def make(plural: str, kind: str, group: str, name: str, **body: Any) -> None:
            resource = self.registry.find(group, "v1", plural)
            assert resource is not None
            obj = {"apiVersion": resource.api_version, "kind": kind, "metadata": {"name": name}, **body}
            self.verbs.create(Target(resource), obj, lambda text: None)

        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            make("namespaces", "Namespace", "", name)
        for name, (rules, group) in roles.items():
            make("clusterroles", "ClusterRole", RBAC, name, rules=rules)
            make("clusterrolebindings", "ClusterRoleBinding", RBAC, name,
                 roleRef={"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
                 subjects=[{"kind": "Group", "name": group, "apiGroup": RBAC}])

    async def start(self, context: SSLContext, port: int = 0) -> tuple[web.AppRunner, str]:
        """Listen on 127.0.0.1; returns what has to be cleaned up, and the URL."""
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        return runner, f"https://127.0.0.1:{runner.addresses[0][1]}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        warnings: list[str] = []
        try:
            response = await self._route(request, warnings.append)
        except ApiError as error:
            response = web.json_response(error.status(), status=error.code)
        except (KeyError, TypeError, AttributeError, ValueError) as failure:
            text = f"the object could not be read: {type(failure).__name__}: {failure}"
            response = web.json_response(ApiError(400, text).status(), status=400)
            request.app.logger.exception("%s %s", request.method, request.path_qs)
        if not response.prepared:
            for text in warnings:
                response.headers.add("Warning", f'299 - "{text.replace(chr(34), chr(92) + chr(34))}"')
        return response

    async def _route(self, request: web.Request, warn: Callable[[str], None]) -> web.StreamResponse:
        if request.path in ("/healthz", "/readyz", "/livez"):
            return web.Response(text="ok")
        user = self.authority.user(request.headers.get("Authorization", ""))
        target = self._target(request)
        if target is None:
            self.authority.check(user, Request(request.method.lower(), path=request.path))
            document = answer(request.path, self.registry.all())
            if document is None:
                raise ApiError(404, "the server could not find the requested resource")
            return web.json_response(document)
        verb = _verb(request, target)
        resource, sub = target.resource, target.subresource
        self.authority.check(user, Request(verb, resource.group, resource.plural, sub, target.namespace, target.name))
        if sub and sub not in resource.subresources:
            raise ApiError(404, "the server could not find the requested resource")
        if sub not in ("status", "finalize", "") or "list" not in resource.verbs:
            return await self._special(request, target, user, warn)
        if verb in ("list", "watch"):
            return await self._list(request, target, verb)
        if verb == "get":
            return self._answer(request, target, self.verbs.get(target))
        if verb == "create":
            return self._answer(request, target, self.verbs.create(target, await _body(request), warn), 201)
        if verb == "update":
            return self._answer(request, target, self.verbs.update(target, await _body(request), warn))
        if verb == "patch":
            patched = _patch(request, target, self.verbs.get(target), await _body(request))
            return self._answer(request, target, self.verbs.update(target, patched, warn))
        return await self._delete(request, target, verb)

    def _target(self, request: web.Request) -> Target | None:
        """The resource, object and subresource that a path names; None for discovery paths."""
        parts = request.path.strip("/").split("/")
        skip = {"api": 2, "apis": 3}.get(parts[0], len(parts))
        if len(parts) <= skip:
            return None
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        rest, namespace = parts[skip:], ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource = self.registry.find(group, version, rest[0])
        if resource is None:
            raise ApiError(404, "the server could not find the requested resource")
        query = request.query
        return Target(resource, namespace, *(rest[1:3] + ["", ""])[:2], query.get("fieldValidation", ""),
                      query.get("dryRun") == "All")

    def _answer(self, request: web.Request, target: Target, obj: Object, status: int = 200) -> web.Response:
        if "as=Table" in request.headers.get("Accept", ""):
            meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            obj = table(target.resource, [obj], request.query.get("includeObject", "Metadata"), meta)
        return web.json_response(obj, status=status)

    async def _list(self, request: web.Request, target: Target, verb: str) -> web.StreamResponse:
        query, resource = request.query, target.resource
        fields = query.get("fieldSelector", "")
        if target.name:
            fields = ",".join(filter(None, [fields, f"metadata.name={target.name}"]))
        selects = selector(query.get("labelSelector", ""), fields, resource)
        if verb == "watch":
            return await self._watch(request, target, selects)
        metadata, items = self.verbs.page(target, selects, int(query.get("limit") or 0), query.get("continue", ""))
        if "as=Table" in request.headers.get("Accept", ""):
            return web.json_response(table(resource, items, query.get("includeObject", "Metadata"), metadata))
        kind = resource.custom.get("names", {}).get("listKind", resource.kind + "List")
        return web.json_response({"kind": kind, "apiVersion": resource.api_version, "metadata": metadata,
                                  "items": items})

    async def _watch(self, request: web.Request, target: Target, selects: Callable[[Object], bool]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        as_table = "as=Table" in request.headers.get("Accept", "")
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 3600)):
                async for kind, obj in self._events(request, target, selects):
                    if as_table and kind != "ERROR":
                        meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
                        obj = table(target.resource, [] if kind == "BOOKMARK" else [obj],
                                    request.query.get("includeObject", "Metadata"), meta)
                    await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
        except (TimeoutError, ConnectionResetError):
            pass  # the end of a watch: the client asks again
        return response

    async def _events(self, request: web.Request, target: Target,
                      selects: Callable[[Object], bool]) -> AsyncIterator[tuple[str, Object]]:
        """What a watch reports: the present state when no version is given, then changes as the selector sees them."""
        query, resource = request.query, target.resource
        since = query.get("resourceVersion") or "0"
        initial = query.get("sendInitialEvents") == "true" or (since == "0" and "sendInitialEvents" not in query)
        try:
            replay, queue = self.store.subscribe(resource.table, self.store.version if initial else int(since))
        except ApiError as gone:
            yield "ERROR", gone.status()
            return

        def shown(obj: Object) -> Object:
            return {**obj, "apiVersion": resource.api_version, "kind": resource.kind}

        def bookmark(**extra: Any) -> Object:
            return shown({"metadata": {"resourceVersion": str(self.store.version), **extra}})

        try:
            if initial:
                for obj in filter(selects, self.store.rows(resource.table, target.namespace)):
                    yield "ADDED", shown(obj)
                if query.get("sendInitialEvents") == "true":
                    yield "BOOKMARK", bookmark(annotations={"k8s.io/initial-events-end": "true"})
            for event in replay:
                if seen := _seen(event, target.namespace, selects):
                    yield seen, shown(event.object)
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), BOOKMARK_SECONDS)
                except TimeoutError:
                    if query.get("allowWatchBookmarks") in ("true", "1", "True"):
                        yield "BOOKMARK", bookmark()
                    continue
                if seen := _seen(event, target.namespace, selects):
                    yield seen, shown(event.object)
        finally:
            self.store.unsubscribe(resource.table, queue)

    async def _delete(self, request: web.Request, target: Target, verb: str) -> web.Response:
        options: Object = await _body(request) if request.can_read_body else {}
        for key in ("propagationPolicy", "gracePeriodSeconds"):
            if key in request.query:
                options[key] = int(request.query[key]) if key[0] == "g" else request.query[key]
        if verb == "delete":
            obj, gone = self.verbs.delete(target, options)
            if not gone:
                return self._answer(request, target, obj)
            details = {**target.details, "uid": obj["metadata"]["uid"]}
            return web.json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                                      "details": details})
        selects = selector(request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""),
                           target.resource)
        _, items = self.verbs.page(target, selects, 0, "")
        for item in items:
            self.verbs.delete(Target(target.resource, item["metadata"].get("namespace", ""), item["metadata"]["name"],
                                     dry_run=target.dry_run), options)
        return web.json_response({"kind": target.resource.kind + "List", "apiVersion": target.resource.api_version,
                                  "metadata": {}, "items": items})

    async def _special(self, request: web.Request, target: Target, user: User,
                       warn: Callable[[str], None]) -> web.StreamResponse:
        """Subresources that are not a view of the object itself, and reviews."""
        resource, sub = target.resource, target.subresource
        if sub == "log":
            return await self._log(request, target)
        body = await _body(request) if request.can_read_body else {}
        if resource.plural == "selfsubjectreviews":
            body["status"] = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
            return web.json_response(body, status=201)
        if not sub:
            spec = body["spec"]
            asked = spec.get("resourceAttributes") or {}
            plain = spec.get("nonResourceAttributes") or {}
            if "user" in spec or "groups" in spec:
                user = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
            question = Request(asked.get("verb") or plain.get("verb", ""), asked.get("group", ""),
                               asked.get("resource", ""), asked.get("subresource", ""), asked.get("namespace", ""),
                               asked.get("name", ""), plain.get("path", ""))
            return web.json_response({**body, "status": {"allowed": self.authority.allows(user, question)}}, status=201)
        obj = self.verbs.get(target)
        whole = Target(resource, target.namespace, target.name, dry_run=target.dry_run)
        if sub == "scale":
            shown = scale_of(resource, obj)
            if request.method == "GET":
                return web.json_response(shown)
            wanted = _patch(request, target, shown, body) if request.method == "PATCH" else body
            changed: Any = wanted["spec"].get("replicas", 0)
            for key in reversed(resource.scale_paths["specReplicasPath"].strip(".").split(".")):
                changed = {key: changed}
            version = wanted["metadata"].get("resourceVersion") or obj["metadata"]["resourceVersion"]
            obj = self.verbs.update(whole, merge_patch(obj, {**changed, "metadata": {"resourceVersion": version}}), warn)
            return web.json_response(scale_of(resource, obj))
        if sub == "token":
            seconds = (body.get("spec") or {}).get("expirationSeconds") or 3600
            status = {"token": self.authority.issue(obj, seconds), "expirationTimestamp": stamp()}
            return web.json_response({**body, "status": status}, status=201)
        if sub == "binding":
            if obj["spec"].get("nodeName"):
                raise target.conflict(f"pod {target.name} is already assigned to node {obj['spec']['nodeName']}")
            scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}
            bound = strategic_patch(obj, {"spec": {"nodeName": body["target"]["name"]},
                                          "status": {"conditions": [scheduled]}})
            self.store.put(resource.table, bound)
        if sub == "eviction":
            disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                         "message": "Eviction API: evicting", "lastTransitionTime": stamp()}
            self.store.put(resource.table, strategic_patch(obj, {"status": {"conditions": [disrupted]}}))
            self.verbs.delete(whole, body.get("deleteOptions") or {})
        return web.json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, status=201)

    async def _log(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Hand through what the kubelet of the pod's node says, as a real API server does."""
        pod = self.verbs.get(target)
        names = [one["name"] for one in pod["spec"]["containers"]]
        container = request.query.get("container") or names[0]
        if container not in names or (len(names) > 1 and "container" not in request.query):
            raise ApiError(400, f"a container name must be specified for pod {target.name}, choose one of: {names}")
        node = self.store.get(("", "nodes"), "", pod["spec"].get("nodeName", ""))
        waiting = next((one["state"]["waiting"]["reason"] for one in pod["status"].get("containerStatuses", ())
                        if one["name"] == container and "waiting" in one["state"] and not one.get("lastState")), None)
        if node is None or waiting or pod["status"]["phase"] == "Pending":
            raise ApiError(400, f'container "{container}" in pod "{target.name}" is waiting to start: '
                                f"{waiting or 'ContainerCreating'}")
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        url = f"https://127.0.0.1:{port}/containerLogs/{target.namespace}/{target.name}/{container}"
        async with ClientSession() as session, session.get(url, params=request.query, ssl=False) as upstream:
            response = web.StreamResponse(status=upstream.status, headers={"Content-Type": "text/plain"})
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            return response


async def _body(request: web.Request) -> Any:
    """Raises 415 for protobuf, which kubectl's imperative commands send."""
    if request.content_type not in ("application/json", "application/octet-stream", *PATCHES):
        raise ApiError(415, f"localcluster reads JSON only, not {request.content_type}")
    return await request.json()


def _verb(request: web.Request, target: Target) -> str:
    watch = request.query.get("watch") in ("1", "true", "True")
    if request.method == "GET" and not target.subresource and (watch or not target.name):
        return "watch" if watch else "list"
    verbs = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
             "DELETE": "delete" if target.name else "deletecollection"}
    if request.method not in verbs or (request.method == "POST" and target.name and not target.subresource):
        raise ApiError(405, "the server does not allow this method on the requested resource")
    return verbs[request.method]


def _patch(request: web.Request, target: Target, obj: Object, patch: Any) -> Object:
    """Raises 415 for formats that the kind does not take, and for server-side apply, which nothing here takes."""
    accepted = [kind for kind in PATCHES if "strategic" not in kind or not target.resource.custom]
    if request.content_type == "application/apply-patch+yaml":
        raise ApiError(415, "server-side apply is not implemented by localcluster: use client-side apply")
    if request.content_type not in accepted:
        raise ApiError(415, "the body of the request was in an unknown format - accepted media types include: "
                            + ", ".join(sorted(accepted)))
    result: Object = PATCHES[request.content_type](obj, patch)
    return result


def _seen(event: Event, namespace: str, selects: Callable[[Object], bool]) -> str:
    """The type of an event as a watch with this selector sees it; empty when it does not."""
    if namespace and event.object["metadata"].get("namespace") != namespace:
        return ""
    before = event.previous is not None and selects(event.previous)
    after = event.type != "DELETED" and selects(event.object)
    if before and after:
        return "MODIFIED"
    return "ADDED" if after else "DELETED" if before else ""
