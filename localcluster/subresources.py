"""Subresources that are not a view of the object itself: scale, token, binding, log."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from aiohttp import ClientSession, web

from localcluster.authz import Authority
from localcluster.clock import now, stamp
from localcluster.errors import ApiError, Object
from localcluster.patches import merge_patch, strategic_patch
from localcluster.store import Store
from localcluster.tables import first
from localcluster.verbs import Target, Verbs

SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


class Subresources:
    """`get` shows one, `put` takes what the client sends; `log` streams."""

    def __init__(self, verbs: Verbs, store: Store, authority: Authority) -> None:
        self._verbs, self._store, self._authority = verbs, store, authority

    def get(self, target: Target) -> Object:
        """The autoscaling/v1 Scale of a custom resource; for the others the object."""
        obj, paths = self._verbs.get(target), target.resource.scale
        if target.subresource != "scale":
            return obj
        meta = {key: obj["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        status = {"replicas": first(obj, paths["statusReplicasPath"], 0)}
        if "labelSelectorPath" in paths:
            status["selector"] = first(obj, paths["labelSelectorPath"], "")
        spec = {"replicas": first(obj, paths["specReplicasPath"], 0)}
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": meta,
            "spec": spec,
            "status": status,
        }

    def put(self, target: Target, body: Object) -> Object:
        """Raises 409 for a pod that is bound already."""
        obj, whole = self._verbs.get(target), replace(target, subresource="")
        if target.subresource == "scale":
            change: Any = body["spec"].get("replicas", 0)
            for key in reversed(target.resource.scale["specReplicasPath"].strip(".").split(".")):
                change = {key: change}
            version = body["metadata"].get("resourceVersion") or obj["metadata"]["resourceVersion"]
            self._verbs.update(whole, merge_patch(obj, {**change, "metadata": {"resourceVersion": version}}))
            return self.get(target)
        if target.subresource == "token":
            seconds = (body.get("spec") or {}).get("expirationSeconds") or 3600
            expiry = stamp(now() + timedelta(seconds=seconds))
            status = {"token": self._authority.issue(obj, seconds), "expirationTimestamp": expiry}
            kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
            return {**kind, "metadata": {}, "spec": {"expirationSeconds": seconds}, "status": status}
        if target.subresource == "binding":
            if bound := obj["spec"].get("nodeName"):
                raise target.conflict(f"pod {target.name} is already assigned to node {bound}")
            change = {"spec": {"nodeName": body["target"]["name"]}}
            said = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}
            change["status"] = {"conditions": [said]}
            self._store.put(target.resource.table, strategic_patch(obj, change))
        return SUCCESS

    async def log(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Hand through what the kubelet of the pod's node says, as a real API server does."""
        pod = self._verbs.get(target)
        names = [one["name"] for one in pod["spec"]["containers"]]
        container = request.query.get("container") or (names[0] if len(names) == 1 else "")
        if container not in names:
            raise ApiError(
                400, f"a container name must be specified for pod {target.name}, choose one of: {names}"
            )
        states = {one["name"]: one["state"] for one in pod["status"].get("containerStatuses", ())}
        waiting = states.get(container, {"waiting": {"reason": "ContainerCreating"}}).get("waiting")
        node = self._store.get(("", "nodes"), "", pod["spec"].get("nodeName", ""))
        if waiting or node is None:
            why = (waiting or {}).get("reason", "no node")
            raise ApiError(400, f'container "{container}" in pod "{target.name}" is waiting to start: {why}')
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        url = f"https://127.0.0.1:{port}/containerLogs/{target.namespace}/{target.name}/{container}"
        async with ClientSession() as session, session.get(url, params=request.query, ssl=False) as upstream:
            response = web.StreamResponse(status=upstream.status, headers={"Content-Type": "text/plain"})
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            return response
