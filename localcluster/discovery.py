"""Discovery for kubectl and client libraries: groups, resources, and OpenAPI v3.

The OpenAPI documents carry the schemas of custom resources, and for every kind the query parameters that
kubectl looks for before it sends `fieldValidation` or `dryRun`.
"""

from typing import Any

from localcluster.errors import Object
from localcluster.resources import Resource

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0+localcluster", "platform": "linux/amd64"}
SUBRESOURCES = {
    "scale": {"kind": "Scale", "group": "autoscaling", "version": "v1"},
    "token": {"kind": "TokenRequest", "group": "authentication.k8s.io", "version": "v1"},
    "binding": {"kind": "Binding"},
}


def answer(path: str, resources: list[Resource]) -> Object | None:
    """The document at a discovery path; None for any other path."""
    prefixes = {("apis/" if one.group else "api/") + one.api_version: one.api_version for one in resources}
    versions = {one.group: one for one in resources if one.group}
    groups = [_group(name, [one for one in resources if one.group == name]) for name in versions]
    where = path.strip("/")
    if where.startswith("openapi/v3/") and where[11:] in prefixes:
        return _openapi(resources, where[11:], prefixes[where[11:]])
    fixed: dict[str, Object] = {
        "version": VERSION,
        "api": {"kind": "APIVersions", "versions": ["v1"]},
        "apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "openapi/v3": {"paths": {key: {"serverRelativeURL": f"/openapi/v3/{key}"} for key in prefixes}},
    }
    fixed |= {f"apis/{group['name']}": group for group in groups}
    fixed |= {prefix: _resource_list(resources, version) for prefix, version in prefixes.items()}
    return fixed.get(where)


def _group(name: str, resources: list[Resource]) -> Object:
    versions = {one.version: {"groupVersion": one.api_version, "version": one.version} for one in resources}
    listed = list(versions.values())
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def _resource_list(resources: list[Resource], api_version: str) -> Object:
    rows: list[Object] = []
    for one in resources:
        if one.api_version != api_version:
            continue
        common = {"kind": one.kind, "namespaced": one.namespaced}
        names = {"singularName": one.singular, "shortNames": one.short, "categories": one.categories}
        rows.append({"name": one.plural, **common, **names, "verbs": VERBS})
        for sub in one.subresources:
            verbs = {
                "status": ["get", "patch", "update"],
                "scale": ["get", "patch", "update"],
                "log": ["get"],
            }
            extra = {"singularName": "", "verbs": verbs.get(sub, ["create"]), **SUBRESOURCES.get(sub, {})}
            rows.append({"name": f"{one.plural}/{sub}", **common, **extra})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": rows}


def _openapi(resources: list[Resource], prefix: str, api_version: str) -> Object:
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for one in resources:
        if one.api_version != api_version:
            continue
        kind = {"group": one.group, "version": one.version, "kind": one.kind}
        name = ".".join([*reversed(one.group.split(".")), one.version, one.kind]).lstrip(".")
        schema = one.schema if one.custom else {}
        schemas[name] = {"type": "object", **schema, "x-kubernetes-group-version-kind": [kind]}
        ref = {"schema": {"$ref": f"#/components/schemas/{name}"}}
        keys = ("dryRun", "fieldValidation", "fieldManager")
        operation = {
            "x-kubernetes-group-version-kind": kind,
            "parameters": [{"name": key, "in": "query", "schema": {"type": "string"}} for key in keys],
            "responses": {"200": {"content": {"application/json": ref}}},
        }
        scope = "namespaces/{namespace}/" if one.namespaced else ""
        verbs = {verb: {**operation, "x-kubernetes-action": verb} for verb in ("get", "patch")}
        paths[f"/{prefix}/{scope}{one.plural}/{{name}}"] = verbs
    info = {"title": "localcluster", "version": VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}
