"""What kubectl and client libraries ask before they ask for objects: groups, resources, and OpenAPI v3.

The OpenAPI documents carry the schemas of custom resources, and for every kind the query parameters that kubectl looks
for before it sends `fieldValidation` or `dryRun`.
"""

from typing import Any

from localcluster.errors import Object
from localcluster.resources import Resource

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0+localcluster", "gitCommit": "", "platform": "linux/amd64",
           "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "cpython"}


def groups(resources: list[Resource]) -> list[Object]:
    found: dict[str, list[Object]] = {}
    for one in resources:
        entry = {"groupVersion": one.api_version, "version": one.version}
        if one.group and entry not in found.setdefault(one.group, []):
            found[one.group].append(entry)
    return [{"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions,
             "preferredVersion": versions[0]} for name, versions in found.items()]


def resource_list(resources: list[Resource], api_version: str) -> Object:
    rows: list[Object] = []
    for one in resources:
        if one.api_version != api_version:
            continue
        names: Object = one.custom.get("names", {})
        rows.append({"name": one.plural, "singularName": names.get("singular", one.kind.lower()), "kind": one.kind,
                     "namespaced": one.namespaced, "verbs": one.verbs, "shortNames": list(one.short),
                     "categories": names.get("categories", ["all"] if one.plural in ("pods", "jobs") else [])})
        for sub in one.subresources:
            kind = {"scale": "Scale", "eviction": "Eviction", "token": "TokenRequest", "binding": "Binding"}
            group = {"scale": "autoscaling", "eviction": "policy", "token": "authentication.k8s.io"}.get(sub)
            rows.append({"name": f"{one.plural}/{sub}", "singularName": "", "namespaced": one.namespaced,
                         "kind": kind.get(sub, one.kind), **({"group": group, "version": "v1"} if group else {}),
                         "verbs": ["get", "patch", "update"] if sub in ("status", "scale") else
                         ["get"] if sub == "log" else ["create"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": rows}


def answer(path: str, resources: list[Resource]) -> Object | None:
    """The document at a discovery path; None for any other path."""
    versions = {one.api_version for one in resources}
    prefixed = {("apis/" if "/" in version else "api/") + version: version for version in versions}
    where = path.strip("/")
    if where == "version":
        return VERSION
    if where == "api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if where == "apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(resources)}
    if where == "openapi/v3":
        return {"paths": {key: {"serverRelativeURL": f"/openapi/v3/{key}"} for key in prefixed}}
    if where in prefixed:
        return resource_list(resources, prefixed[where])
    if where.startswith("openapi/v3/") and where[11:] in prefixed:
        return openapi(resources, where[11:], prefixed[where[11:]])
    return next((group for group in groups(resources) if where == f"apis/{group['name']}"), None)


def openapi(resources: list[Resource], prefix: str, api_version: str) -> Object:
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for one in resources:
        if one.api_version != api_version:
            continue
        kind = {"group": one.group, "version": one.version, "kind": one.kind}
        name = ".".join([*reversed(one.group.split(".")), one.version, one.kind]).lstrip(".")
        schemas[name] = {"type": "object", **one.schema, "x-kubernetes-group-version-kind": [kind]}
        parameters = [{"name": key, "in": "query", "schema": {"type": "string"}}
                      for key in ("dryRun", "fieldValidation", "fieldManager")]
        operation = {"x-kubernetes-group-version-kind": kind, "parameters": parameters, "responses": {"200": {
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}}}
        scope = "namespaces/{namespace}/" if one.namespaced else ""
        paths[f"/{prefix}/{scope}{one.plural}/{{name}}"] = {
            "get": {**operation, "x-kubernetes-action": "get"}, "patch": {**operation, "x-kubernetes-action": "patch"}}
    return {"openapi": "3.0.0", "info": {"title": "localcluster", "version": VERSION["gitVersion"]}, "paths": paths,
            "components": {"schemas": schemas}}
