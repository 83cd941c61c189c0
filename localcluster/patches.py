"""The three patch formats: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch."""

import copy
from typing import Any

from localcluster.errors import ApiError, Object

MERGE_KEYS = {"containers": "name", "initContainers": "name", "volumes": "name", "env": "name", "conditions": "type",
              "volumeMounts": "mountPath", "ports": "containerPort", "ownerReferences": "uid", "addresses": "type",
              "imagePullSecrets": "name", "secrets": "name", "taints": "key"}
"""Merge keys of the lists in the built-in kinds served here, by field name."""


def merge_patch(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(target: Any, patch: Any, field: str = "") -> Any:
    """Merge patch whose lists of objects merge by key; knows `$patch`, `$setElementOrder`, `$deleteFromPrimitiveList`."""
    key = MERGE_KEYS.get(field, "")
    if isinstance(patch, list) and key and isinstance(target, list):
        rows = {row.get(key): row for row in target}
        for row in patch:
            if row.get("$patch") == "delete":
                rows.pop(row.get(key), None)
            else:
                rows[row.get(key)] = strategic_patch(rows.get(row.get(key), {}), row)
        return list(rows.values())
    if isinstance(patch, list) and field == "finalizers":
        return list(dict.fromkeys([*(target or ()), *patch]))
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = {} if patch.get("$patch") == "replace" or not isinstance(target, dict) else dict(target)
    for name, value in patch.items():
        directive, _, of = name.partition("/")
        if directive == "$deleteFromPrimitiveList":
            result[of] = [one for one in result.get(of, ()) if one not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = strategic_patch(result.get(name), value, name)
    return result


def json_patch(target: Object, operations: list[Object]) -> Any:
    """Raises 422 when a test fails or a path does not exist."""
    result: Any = copy.deepcopy(target)
    for operation in operations:
        try:
            result = _operate(result, operation)
        except (KeyError, IndexError, ValueError, TypeError) as failure:
            raise ApiError(422, f"the server rejected our request due to an error in our request: "
                                f"{operation.get('op')} {operation.get('path')}: {failure!r}") from failure
    return result


def _operate(document: Any, operation: Object) -> Any:
    kind, path = operation["op"], operation["path"]
    if kind in ("move", "copy"):
        value = copy.deepcopy(_lookup(document, operation["from"]))
        if kind == "move":
            document = _operate(document, {"op": "remove", "path": operation["from"]})
        return _operate(document, {"op": "add", "path": path, "value": value})
    if kind == "test":
        if _lookup(document, path) != operation.get("value"):
            raise ValueError("test failed")
        return document
    if not path:
        return operation["value"]
    head, _, last = path.rpartition("/")
    parent, key = _lookup(document, head), last.replace("~1", "/").replace("~0", "~")
    if isinstance(parent, list):
        position = len(parent) if key == "-" else int(key)
        if position > len(parent) or (kind != "add" and position == len(parent)):
            raise IndexError(position)
        parent[position:position + (kind != "add")] = [] if kind == "remove" else [operation["value"]]
    elif kind == "add":
        parent[key] = operation["value"]
    else:
        parent.pop(key)
        if kind == "replace":
            parent[key] = operation["value"]
    return document


def _lookup(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document
