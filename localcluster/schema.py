"""Structural schemas of custom resources: prune what is unknown, fill in defaults, validate.

The sentences are those of kube-apiserver. CEL rules are in `rules`. As with ratcheting (KEP-4008) a value that an
update does not touch is not judged again.
"""

import copy
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from localcluster.errors import Cause, Object
from localcluster.rules import check_rules

OBJECT_META = {"name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid",
               "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "selfLink", "managedFields",
               "deletionGracePeriodSeconds"}
TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
                         "number": (int, float)}
_BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")


def child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def subschema(schema: Object, key: str) -> Object | None:
    """The schema of one key of an object; an empty one where anything goes, None where nothing is said."""
    found = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    if found is None and schema.get("x-kubernetes-preserve-unknown-fields"):
        return {"x-kubernetes-preserve-unknown-fields": True}
    return {"x-kubernetes-preserve-unknown-fields": True} if found is True else found or None


def prune(schema: Object, value: Any, path: str = "", *, embedded: bool = True) -> list[str]:
    """Remove fields that the schema does not know, in place; returns their paths."""
    if isinstance(value, list):
        return [name for number, item in enumerate(value)
                for name in prune(schema.get("items", {}), item, f"{path}[{number}]", embedded=False)]
    unknown: list[str] = []
    if isinstance(value, dict):
        embedded = embedded or bool(schema.get("x-kubernetes-embedded-resource"))
        for key in list(value):
            if embedded and key in ("apiVersion", "kind"):
                continue
            if embedded and key == "metadata" and isinstance(value[key], dict):
                extra = [name for name in value[key] if name not in OBJECT_META]
                unknown += [child(child(path, key), name) for name in extra]
                value[key] = {name: item for name, item in value[key].items() if name in OBJECT_META}
            elif (inner := subschema(schema, key)) is None:
                unknown.append(child(path, key))
                del value[key]
            else:
                unknown += prune(inner, value[key], child(path, key), embedded=False)
    return unknown


def apply_defaults(schema: Object, value: Any) -> None:
    """Fill in defaults in place; a null where null is not allowed counts as absent when there is a default."""
    if isinstance(value, list):
        for item in value:
            apply_defaults(schema.get("items", {}), item)
    if isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            absent = key not in value or (value[key] is None and not inner.get("nullable"))
            if absent and "default" in inner:
                value[key] = copy.deepcopy(inner["default"])
        for key, item in value.items():
            apply_defaults(subschema(schema, key) or {}, item)


def validate(schema: Object, value: Any, path: str = "", old: Any = None) -> list[Cause]:
    """Everything wrong with a value; `old` is its counterpart in the stored object, None where there is none."""
    if old is not None and value == old:
        return []
    if value is None and schema.get("nullable"):
        return []
    causes = list(_own(schema, value, path))
    if any(cause.reason == "FieldValueTypeInvalid" for cause in causes):
        return causes
    for inner, item, where, counterpart in _children(schema, value, path, old):
        causes += validate(inner, item, where, counterpart)
    return causes


def validate_object(schema: Object, obj: Object, old: Object | None) -> list[Cause]:
    """A whole object: its structure, and its rules unless the structure is too broken to look at."""
    causes = validate(schema, obj, old=old)
    if any(cause.reason in _BLOCKING for cause in causes):
        return [*causes, Cause("<nil>", "FieldValueInvalid", "Invalid value: null: some validation rules were not "
                               "checked because the object was invalid; correct the existing errors to complete "
                               "validation")]
    return causes + list(_rules(schema, obj, "", old))


def _rules(schema: Object, value: Any, path: str, old: Any) -> Iterator[Cause]:
    yield from check_rules(schema, value, path, old)
    if value != old:
        for inner, item, where, counterpart in _children(schema, value, path, old):
            yield from _rules(inner, item, where, counterpart)


def _children(schema: Object, value: Any, path: str, old: Any) -> Iterator[tuple[Object, Any, str, Any]]:
    """The parts of a value: schema, value, path, and counterpart in the old value where the two correlate."""
    if isinstance(value, dict):
        known = old if isinstance(old, dict) else {}
        for key, item in value.items():
            yield subschema(schema, key) or {}, item, child(path, key), known.get(key)
    if isinstance(value, list):
        keys = schema.get("x-kubernetes-list-map-keys", [])
        rows = {_identity(item, keys): item for item in old or ()} if keys else {}
        for number, item in enumerate(value):
            yield schema.get("items", {}), item, f"{path}[{number}]", rows.get(_identity(item, keys))


def _identity(item: Any, keys: list[str]) -> str:
    return json.dumps([item.get(key) for key in keys] if isinstance(item, dict) and keys else item, sort_keys=True)


def _matches_type(schema: Object, value: Any) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    wanted = schema.get("type")
    if wanted is None:
        return True
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _own(schema: Object, value: Any, path: str) -> Iterator[Cause]:
    """What the schema's own keywords say of a value, its children aside."""
    here = path or "<nil>"
    if not _matches_type(schema, value):
        wanted = schema.get("type", "integer,string")
        name = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number",
                type(None): "null"}[type(value)]
        yield Cause(here, "FieldValueTypeInvalid",
                    f'Invalid value: "{name}": {path} in body must be of type {wanted}: "{name}"')
        return
    if "enum" in schema and value not in schema["enum"]:
        listed = ", ".join(json.dumps(one) for one in schema["enum"])
        yield Cause(here, "FieldValueNotSupported", f"Unsupported value: {json.dumps(value)}: supported values: {listed}")

    def wrong(text: str) -> Cause:
        return Cause(here, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {path} in body {text}")

    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        if value < low or (value == low and schema.get("exclusiveMinimum")):
            equal = "" if schema.get("exclusiveMinimum") else " or equal to"
            yield wrong(f"should be greater than{equal} {low:g}")
        if value > high or (value == high and schema.get("exclusiveMaximum")):
            yield wrong(f"should be less than{'' if schema.get('exclusiveMaximum') else ' or equal to'} {high:g}")
        if "multipleOf" in schema and value % schema["multipleOf"]:
            yield wrong(f"should be a multiple of {schema['multipleOf']}")
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield wrong(f"should be at least {schema['minLength']} chars long")
        if len(value) > schema.get("maxLength", math.inf):
            yield Cause(here, "FieldValueTooLong", f"Too long: may not be more than {schema['maxLength']} bytes")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield wrong(f"should match '{schema['pattern']}'")
    if isinstance(value, (list, dict)):
        noun, low, high = (("items", "minItems", "maxItems") if isinstance(value, list) else
                           ("properties", "minProperties", "maxProperties"))
        if len(value) > schema.get(high, math.inf):
            yield Cause(here, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {schema[high]} items")
        if len(value) < schema.get(low, 0):
            yield Cause(here, "FieldValueInvalid",
                        f"Invalid value: {len(value)}: {path} in body should have at least {schema[low]} {noun}")
    if isinstance(value, dict):
        for key in schema.get("required", ()):
            if key not in value:
                yield Cause(child(path, key), "FieldValueRequired", "Required value")
    if isinstance(value, list) and schema.get("x-kubernetes-list-type") in ("map", "set"):
        seen: set[str] = set()
        for number, item in enumerate(value):
            identity = _identity(item, schema.get("x-kubernetes-list-map-keys", []))
            if identity in seen:
                yield Cause(f"{path}[{number}]", "FieldValueDuplicate", f"Duplicate value: {json.dumps(item)}")
            seen.add(identity)
    for branch in schema.get("allOf", ()):
        yield from validate(branch, value, path)
    for word, right in (("anyOf", lambda n: n > 0), ("oneOf", lambda n: n == 1)):
        if word in schema and not right(sum(not validate(branch, value, path) for branch in schema[word])):
            schemas = "at least one schema" if word == "anyOf" else "one and only one schema"
            yield wrong(f"must validate {schemas} ({word})")
    if "not" in schema and not validate(schema["not"], value, path):
        yield wrong("must not validate the schema (not)")
