"""How kubectl's tables are printed: the server picks the columns and formats the cells (`as=Table`)."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from localcluster.clock import now, parse_time
from localcluster.errors import Object
from localcluster.resources import Resource

Cell = Callable[[Object], Any]


def age(stamp: str | None, until: str | None = None) -> str:
    """A duration as kubectl writes it: one unit, or two while the first is small."""
    if not stamp:
        return "<none>"
    end: datetime = parse_time(until) if until else now()
    seconds = max(0, int((end - parse_time(stamp)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    for limit, big, unit, small, fraction in ((120, 0, "", seconds, "s"), (600, minutes, "m", seconds % 60, "s"),
                                              (10800, 0, "", minutes, "m"), (28800, hours, "h", minutes % 60, "m"),
                                              (172800, 0, "", hours, "h"), (691200, days, "d", hours % 24, "h")):
        if seconds < limit:
            return (f"{big}{unit}" if big else "") + (f"{small}{fraction}" if small or not big else "")
    return f"{days}d" if days < 730 else f"{days // 365}y"


def json_path(obj: Any, path: str) -> list[Any]:
    r"""What a kubectl JSONPath selects; knows `.a.b\.c`, `['a']`, `[0]`, `[*]` and `[?(@.a=="b")]`."""
    token = r"\.((?:\\.|[^.\[\\])+)|\['([^']*)'\]|\[(\d+|\*)\]|\[\?\(@\.([^=!<>]+?)\s*==\s*[\"']([^\"']*)[\"']\)\]"
    found = [obj]
    for key, quoted, index, left, right in re.findall(token, path):
        name = re.sub(r"\\(.)", r"\1", key) or quoted
        if left:
            found = [row for rows in found if isinstance(rows, list) for row in rows
                     if [str(one) for one in json_path(row, "." + left)] == [right]]
        elif index:
            found = [row for rows in found if isinstance(rows, list)
                     for row in (rows if index == "*" else rows[int(index):int(index) + 1])]
        else:
            found = [row[name] for row in found if isinstance(row, dict) and name in row]
    return found


def at(path: str, default: Any = "<none>") -> Cell:
    def cell(obj: Object) -> Any:
        return next((one for one in json_path(obj, path) if one is not None), default)
    return cell


def size(path: str) -> Cell:
    return lambda obj: sum(len(one or ()) for one in json_path(obj, path))


def since(path: str) -> Cell:
    return lambda obj: age(at(path, None)(obj))


def _pod_status(pod: Object) -> str:
    text = str(pod["status"].get("reason") or pod["status"].get("phase"))
    for one in pod["status"].get("containerStatuses", ()):
        state: Object = one["state"].get("waiting") or one["state"].get("terminated") or {}
        text = state.get("reason") or text
    return "Terminating" if pod["metadata"].get("deletionTimestamp") else text


def _pod_ready(pod: Object) -> str:
    rows = pod["status"].get("containerStatuses", ())
    return f"{sum(row['ready'] for row in rows)}/{len(pod['spec']['containers'])}"


def _condition(obj: Object, *types: str) -> str:
    true = {one["type"] for one in obj.get("status", {}).get("conditions", ()) if one["status"] == "True"}
    return next((one for one in types if one in true), "")


def _job_status(job: Object) -> str:
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return _condition(job, "Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet") or "Running"


def _job_duration(job: Object) -> str:
    status = job.get("status", {})
    return age(status["startTime"], status.get("completionTime")) if status.get("startTime") else ""


_AGE = ("Age", since(".metadata.creationTimestamp"), 0)
_NAME = ("Name", at(".metadata.name"), 0)
_COLUMNS: dict[str, list[tuple[str, Cell, int]]] = {
    "namespaces": [_NAME, ("Status", at(".status.phase"), 0), _AGE],
    "nodes": [_NAME, ("Status", lambda node: _condition(node, "Ready") or "NotReady", 0), _AGE,
              ("Version", at(".status.nodeInfo.kubeletVersion"), 0)],
    "pods": [_NAME, ("Ready", _pod_ready, 0), ("Status", _pod_status, 0),
             ("Restarts", lambda pod: sum(json_path(pod, ".status.containerStatuses[*].restartCount")), 0), _AGE,
             ("IP", at(".status.podIP"), 1), ("Node", at(".spec.nodeName"), 1)],
    "configmaps": [_NAME, ("Data", size(".data"), 0), _AGE],
    "secrets": [_NAME, ("Type", at(".type"), 0), ("Data", size(".data"), 0), _AGE],
    "serviceaccounts": [_NAME, ("Secrets", size(".secrets"), 0), _AGE],
    "events": [("Last Seen", since(".lastTimestamp"), 0), ("Type", at(".type"), 0), ("Reason", at(".reason"), 0),
               ("Object", lambda one: f"{at('.involvedObject.kind')(one).lower()}/{at('.involvedObject.name')(one)}", 0),
               ("Message", at(".message", ""), 0), ("Count", at(".count"), 1), ("Name", at(".metadata.name"), 1)],
    "jobs": [_NAME, ("Status", _job_status, 0), ("Completions", lambda job: (
        f"{job.get('status', {}).get('succeeded', 0)}/{job['spec'].get('completions', 1)}"), 0),
        ("Duration", _job_duration, 0), _AGE],
    "leases": [_NAME, ("Holder", at(".spec.holderIdentity", ""), 0), _AGE],
    "customresourcedefinitions": [_NAME, ("Created At", at(".metadata.creationTimestamp"), 0)],
    "rolebindings": [_NAME, ("Role", lambda one: f"{one['roleRef']['kind']}/{one['roleRef']['name']}", 0), _AGE],
}
_COLUMNS["clusterrolebindings"] = _COLUMNS["rolebindings"]


def _custom(column: Object) -> tuple[str, Cell, int]:
    read = since if column["type"] == "date" else lambda path: at(path, None)
    return column["name"], read(column["jsonPath"]), column.get("priority", 0)


def columns(resource: Resource) -> list[tuple[str, Cell, int]]:
    if not resource.custom:
        return _COLUMNS.get(resource.plural, [_NAME, _AGE])
    return [_NAME, *(map(_custom, resource.custom.get("additionalPrinterColumns") or [
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]))]


def table(resource: Resource, objects: list[Object], include: str, metadata: Object) -> Object:
    """A meta.k8s.io Table; `include` says how much of each object goes with its row (Metadata, Object or None)."""
    picked = columns(resource)
    custom = {one["name"]: one for one in resource.custom.get("additionalPrinterColumns") or ()}

    def carried(obj: Object) -> Object | None:
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        return {"Metadata": partial, "Object": obj}.get(include)

    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": [
        {"name": name, "type": custom.get(name, {}).get("type", "string"), "priority": priority,
         "format": "name" if name == "Name" else "", "description": custom.get(name, {}).get("description", "")}
        for name, _, priority in picked
    ], "rows": [{"cells": [cell(obj) for _, cell, _ in picked], "object": carried(obj)} for obj in objects]}
