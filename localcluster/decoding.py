"""Reads built-in kinds as kube-apiserver's Go code does: it checks types and finds unknown fields.

The models of the official client say which fields exist and of which types they are.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from kubernetes.aio.client import models

from localcluster.errors import ApiError, Object
from localcluster.resources import Resource

_QUANTITY = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_AMOUNTS = ("limits", "requests", "capacity", "allocatable", "sizeLimit")
_LONG = ("generation", "runAsUser", "runAsGroup", "fsGroup", "terminationGracePeriodSeconds")
_GO = {
    "str": "string",
    "bool": "bool",
    "int": "int32",
    "float": "float64",
    "datetime": "string",
    "bytes": "string",
}
_PYTHON: dict[str, Any] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "datetime": str,
    "bytes": str,
}


class _MisreadError(Exception):
    """An error with the message of Go's decoder."""


def decode(resource: Resource, obj: Object) -> list[str]:
    """Take nulls and unknown fields out, in place; returns the paths of the latter. Raises 400."""
    found = {"Event": "CoreV1Event"}.get(resource.kind, f"V1{resource.kind}")
    try:
        return sorted(_object(found, obj, ""))
    except _MisreadError as failure:
        text = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise ApiError(400, f"{text}: {failure}") from failure


def _object(name: str, value: Object, path: str) -> Iterator[str]:
    model = getattr(models, name)
    types = {model.attribute_map[key]: kind for key, kind in model.openapi_types.items()}
    struct = name.removeprefix("Core").removeprefix("V1")
    for key, item in list(value.items()):
        where = f"{path}.{key}".lstrip(".")
        if key not in types:
            yield where
        if key not in types or item is None:
            del value[key]
        elif key in _AMOUNTS and "str" in types[key]:
            for amount in item.values() if isinstance(item, dict) else [item]:
                if not re.fullmatch(_QUANTITY, str(amount)):
                    raise _MisreadError(f"quantities must match the regular expression '{_QUANTITY}'")
        else:
            yield from _value(types[key], value, key, where, struct)


def _value(kind: str, parent: Any, key: Any, path: str, struct: str) -> Iterator[str]:
    """Check parent[key]."""
    value, inner = parent[key], re.sub(r"^(List\[|Dict\[str, )(.*)\]$", r"\2", kind)
    if kind.startswith("List[") and isinstance(value, list):
        for number in range(len(value)):
            yield from _value(inner, value, number, f"{path}[{number}]", struct)
    elif kind.startswith("Dict[") and isinstance(value, dict):
        for name in value:
            value[name] = "" if value[name] is None and inner == "str" else value[name]
            yield from _value(inner, value, name, path, struct)
    elif kind in _PYTHON:
        if not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise _mismatch(value, kind, path, struct)
        if kind == "bytes":
            _check_base64(value)
    elif hasattr(models, kind) and isinstance(value, dict):
        yield from _object(kind, value, path)
    elif kind != "object":
        raise _mismatch(value, kind, path, struct)


def _mismatch(value: Any, kind: str, path: str, struct: str) -> _MisreadError:
    names = {str: "string", list: "array", dict: "object", bool: "bool"}
    said = names.get(type(value), f"number {value}" if kind == "int" else "number")
    field = re.sub(r"\[\d+\]", "", path)
    go = re.sub(r"\w+", lambda found: _GO.get(found[0], f"v1.{found[0].removeprefix('V1')}"), kind)
    go = re.sub(r"^v1.List\[(.*)\]", r"[]\1", re.sub(r"^v1.Dict\[string, (.*)\]", r"map[string]\1", go))
    go = "int64" if path.rpartition(".")[2] in _LONG else go
    return _MisreadError(f"json: cannot unmarshal {said} into Go struct field {struct}.{field} of type {go}")


def _check_base64(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as failure:
        right = re.match(r"[A-Za-z0-9+/]*", text)
        place = right.end() if right else 0
        raise _MisreadError(f"illegal base64 data at input byte {place}") from failure
