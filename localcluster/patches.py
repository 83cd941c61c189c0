"""Patch formats: merge patch (RFC 7386), and Kubernetes' strategic merge patch."""

import copy
from typing import Any

MERGE_KEYS = ("name", "type", "uid", "mountPath", "containerPort", "key")
"""A list of objects merges by the first of these that all its patches carry; so it is in the kinds here."""


def merge_patch(target: Any, patch: Any) -> Any:
    """The target is left as it is."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(target: Any, patch: Any) -> Any:
    """Merge patch whose lists of objects merge by key; knows `$patch: delete`, `$deleteFromPrimitiveList`."""
    if (
        isinstance(patch, list)
        and isinstance(target, list)
        and patch
        and all(isinstance(row, dict) for row in patch)
    ):
        key = next((key for key in MERGE_KEYS if all(key in row for row in patch)), "")
        rows = {row.get(key): row for row in target} if key else {}
        for row in patch:
            rows[row.get(key)] = strategic_patch(rows.get(row.get(key)), row)
            if row.get("$patch") == "delete":
                del rows[row[key]]
        return list(rows.values()) if key else copy.deepcopy(patch)
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        directive, _, name = key.partition("/")
        if directive == "$deleteFromPrimitiveList":
            result[name] = [one for one in result.get(name, ()) if one not in value]
        elif value is None:
            result.pop(key, None)
        elif not key.startswith("$"):
            result[key] = strategic_patch(result.get(key), value)
    return result
