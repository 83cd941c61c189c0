"""kubectl's tables: the server chooses the columns and formats the cells (`as=Table`)."""

import re
from collections.abc import Callable
from typing import Any

from localcluster.clock import now, parse_time
from localcluster.errors import Object
from localcluster.resources import Resource

_STEP = re.compile(
    r"\.((?:\\.|[^.\[\\])+)|\['([^']*)'\]|\[(\d+|\*)\]|\[\?\(@\.([^=!<>]+?)\s*==\s*[\"']([^\"']*)[\"']\)\]"
)


def age(start: str | None, end: str | None = None) -> str:
    """A duration as kubectl writes it: two units while the larger one is small."""
    if not start or start == "<none>":
        return "<none>"
    last = parse_time(end) if end else now()
    seconds = max(0, int((last - parse_time(start)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    for below, text in (
        (120, f"{seconds}s"),
        (600, f"{minutes}m{seconds % 60}s"),
        (10800, f"{minutes}m"),
        (28800, f"{hours}h{minutes % 60}m"),
        (172800, f"{hours}h"),
        (691200, f"{days}d{hours % 24}h"),
    ):
        if seconds < below:
            return re.sub(r"(?<=[hmd])0[smh]$", "", text)
    return f"{days}d"


def json_path(obj: Any, path: str) -> list[Any]:
    r"""What a kubectl JSONPath selects; knows `.a.b\.c`, `['a']`, `[0]`, `[*]` and `[?(@.a=="b")]`."""
    found = [obj]
    for key, quoted, index, left, right in _STEP.findall(path):
        name = re.sub(r"\\(.)", r"\1", key) or quoted
        lists = [row for row in found if isinstance(row, list)]
        if left:
            found = [row for rows in lists for row in rows if right in map(str, json_path(row, f".{left}"))]
        elif index:
            found = [row for rows in lists for row in (rows if index == "*" else rows[int(index) :][:1])]
        else:
            found = [row[name] for row in found if isinstance(row, dict) and name in row]
    return found


def first(obj: Object, path: str, default: Any = None) -> Any:
    """The first value at a path that is not null."""
    return next((one for one in json_path(obj, path) if one is not None), default)


def _condition(obj: Object, *types: str, default: str = "") -> str:
    true = {one["type"] for one in obj.get("status", {}).get("conditions") or () if one["status"] == "True"}
    return next((one for one in types if one in true), default)


def _pod(pod: Object) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    states = json_path(pod, ".status.containerStatuses[*].state")
    reasons = [one["reason"] for state in states for one in state.values() if one.get("reason")]
    return str(reasons[-1] if reasons else first(pod, ".status.reason") or pod["status"].get("phase"))


def _job(job: Object) -> str:
    ends = ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet")
    return (
        "Terminating"
        if job["metadata"].get("deletionTimestamp")
        else _condition(job, *ends, default="Running")
    )


_COMPUTED: dict[str, Callable[[Object], Any]] = {
    "condition": lambda node: _condition(node, "Ready", default="NotReady"),
    "ready": lambda pod: (
        f"{sum(json_path(pod, '.status.containerStatuses[*].ready'))}/{len(pod['spec']['containers'])}"
    ),
    "pod": _pod,
    "restarts": lambda pod: sum(json_path(pod, ".status.containerStatuses[*].restartCount")),
    "data": lambda obj: len(obj.get("data") or ()),
    "access": lambda claim: ",".join(
        "".join(re.findall("[A-Z]", mode)) for mode in claim["spec"]["accessModes"]
    ),
    "about": lambda one: (
        f"{first(one, '.involvedObject.kind', '').lower()}/{first(one, '.involvedObject.name')}"
    ),
    "job": _job,
    "completions": lambda job: f"{first(job, '.status.succeeded', 0)}/{job['spec'].get('completions', 1)}",
    "duration": lambda job: age(first(job, ".status.startTime"), first(job, ".status.completionTime")),
}


def _cell(resource: Resource, obj: Object, path: str, kind: str) -> Any:
    if path.startswith("!"):
        return _COMPUTED[path[1:]](obj)
    value = first(obj, path, None if resource.custom else "<none>")
    return age(value) if kind == "date" else value


def table(resource: Resource, objects: list[Object], include: str, metadata: Object) -> Object:
    """A meta.k8s.io Table; `include` says what of an object goes with its row: Metadata, Object or None."""
    columns = (
        [*resource.columns]
        if resource.plural == "events"
        else [["Name", ".metadata.name", "string"], *resource.columns]
    )
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    rows: list[Object] = []
    for obj in objects:
        carried = {"Metadata": {**partial, "metadata": obj["metadata"]}, "Object": obj}.get(include)
        rows.append(
            {"cells": [_cell(resource, obj, path, kind) for _, path, kind, *_ in columns], "object": carried}
        )
    definitions = [
        {"name": name, "type": kind, "format": "name" if name == "Name" else "", "priority": sum(priority)}
        for name, _, kind, *priority in columns
    ]
    head = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {**head, "columnDefinitions": definitions, "rows": rows}
