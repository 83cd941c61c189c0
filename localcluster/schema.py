"""Structural schemas: prune unknown fields, fill in defaults, validate with kube-apiserver's messages.

The JSON schema part is the `jsonschema` library's; CEL rules are in `rules`. As with ratcheting (KEP-4008)
a value that an update does not touch is not judged again.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft4Validator, ValidationError, validators

from localcluster.errors import Cause, Object
from localcluster.rules import check_rules

OBJECT_META = {
    *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid"),
    *(
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ),
    *("selfLink", "managedFields"),
}
SENTENCES = {
    "minimum": "should be greater than or equal to {0:g}",
    "maximum": "should be less than or equal to {0:g}",
    "minLength": "should be at least {0} chars long",
    "pattern": "should match '{0}'",
    "multipleOf": "should be a multiple of {0}",
    "minItems": "should have at least {0} items",
    "minProperties": "should have at least {0} properties",
    "anyOf": "must validate at least one schema (anyOf)",
    "oneOf": "must validate one and only one schema (oneOf)",
    "not": "must not validate the schema (not)",
}
NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
KEEP = {"x-kubernetes-preserve-unknown-fields": True}


def subschema(schema: Object, key: str) -> Object | None:
    """The schema of one key of an object: KEEP where anything may stand, None for an unknown key."""
    found: Object | bool | None = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    if isinstance(found, dict):
        return found
    return KEEP if found or KEEP.items() <= schema.items() else None


def prune(schema: Object, value: Any, path: str = "", *, whole: bool = True) -> list[str]:
    """Remove fields that the schema does not know, in place; returns their paths. `whole`: with metadata."""
    if isinstance(value, list):
        items = [(schema.get("items", KEEP), item, f"{path}[{number}]") for number, item in enumerate(value)]
        return [name for inner, item, where in items for name in prune(inner, item, where, whole=False)]
    if not isinstance(value, dict):
        return []
    unknown = []
    whole = whole or bool(schema.get("x-kubernetes-embedded-resource"))
    for key, item in list(value.items()):
        where, inner = f"{path}.{key}".lstrip("."), subschema(schema, key)
        if whole and key == "metadata":
            unknown += [f"{where}.{name}" for name in item.keys() - OBJECT_META]
            for name in item.keys() - OBJECT_META:
                del item[name]
        elif inner is not None:
            unknown += prune(inner, item, where, whole=False)
        elif not whole or key not in ("apiVersion", "kind"):
            unknown.append(where)
            del value[key]
    return unknown


def apply_defaults(schema: Object, value: Any) -> None:
    """Fill in defaults in place; a null that is not allowed counts as absent when there is a default."""
    if isinstance(value, list):
        for item in value:
            apply_defaults(schema.get("items", {}), item)
    if isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            if "default" in inner and (
                key not in value or (value[key] is None and not inner.get("nullable"))
            ):
                value[key] = copy.deepcopy(inner["default"])
        for key, item in value.items():
            apply_defaults(subschema(schema, key) or {}, item)


def validate(schema: Object, obj: Object, old: Object | None) -> list[Cause]:
    """Everything wrong with an object: its structure, and its rules unless that is too broken to look at."""
    errors = _Validator(schema).iter_errors(obj)
    causes = [_cause(error) for error in errors if not _untouched(list(error.absolute_path), obj, old)]
    if any(cause.reason in BLOCKING for cause in causes):
        return [*causes, Cause("<nil>", "FieldValueInvalid", f"Invalid value: null: {UNCHECKED}")]
    return causes + list(_rules(schema, obj, "", old))


def _untouched(path: list[str | int], obj: Any, old: Any) -> bool:
    for key in path:
        if isinstance(key, int) or not isinstance(old, dict) or key not in old:
            return False
        obj, old = obj[key], old[key]
        if obj == old:
            return True
    return False


def _rules(schema: Object, value: Any, path: str, old: Any) -> Iterator[Cause]:
    yield from check_rules(schema, value, path, old)
    if isinstance(value, dict) and value != old:
        known = old if isinstance(old, dict) else {}
        for key, item in value.items():
            yield from _rules(subschema(schema, key) or {}, item, f"{path}.{key}".lstrip("."), known.get(key))
    if isinstance(value, list) and value != old:
        keys = schema.get("x-kubernetes-list-map-keys", [])
        known = {_identity(keys, item): item for item in old or ()} if keys else {}
        for number, item in enumerate(value):
            yield from _rules(
                schema.get("items", {}), item, f"{path}[{number}]", known.get(_identity(keys, item))
            )


def _identity(keys: list[str], item: Any) -> str:
    return json.dumps([item.get(key) for key in keys] if keys else item, sort_keys=True)


def _cause(error: ValidationError) -> Cause:
    """A library's error in the words of kube-apiserver."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path]
    path, word, limit, value = (
        "".join(parts).lstrip("."),
        error.validator,
        error.validator_value,
        error.instance,
    )
    if word == "required":
        missing = error.message.split("'")[1]
        return Cause(f"{path}.{missing}".lstrip("."), "FieldValueRequired", "Required value")
    field = path or "<nil>"
    if word == "enum":
        listed = ", ".join(json.dumps(one) for one in limit)
        text = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
        return Cause(field, "FieldValueNotSupported", text)
    if word in ("type", "x-kubernetes-int-or-string"):
        kind, wanted = NAMES[type(value)], limit if word == "type" else "integer,string"
        text = f'Invalid value: "{kind}": {path} in body must be of type {wanted}: "{kind}"'
        return Cause(field, "FieldValueTypeInvalid", text)
    if word == "maxLength":
        return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")
    if word in ("maxItems", "maxProperties"):
        return Cause(field, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {limit} items")
    if word == "x-kubernetes-list-type":
        return Cause(
            f"{path}{error.message}",
            "FieldValueDuplicate",
            f"Duplicate value: {json.dumps(value, separators=(',', ':'))}",
        )
    shown = len(value) if word in ("minItems", "minProperties") else json.dumps(value)
    sentence = SENTENCES.get(word, error.message).format(limit)
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {path} in body {sentence}")


def _type(validator: Any, wanted: str, value: Any, schema: Object) -> Iterator[ValidationError]:
    if not validator.is_type(value, wanted) and not (value is None and schema.get("nullable")):
        yield ValidationError("type")


def _int_or_string(_: Any, wanted: bool, value: Any, _schema: Object) -> Iterator[ValidationError]:
    if wanted and (not isinstance(value, int | str) or isinstance(value, bool)):
        yield ValidationError("type")


def _unique(_: Any, kind: str, value: Any, schema: Object) -> Iterator[ValidationError]:
    seen = set()
    for number, item in enumerate(value if kind in ("map", "set") and isinstance(value, list) else ()):
        keys = schema.get("x-kubernetes-list-map-keys", [])
        identity = _identity(keys, item)
        if identity in seen:
            yield ValidationError(
                f"[{number}]", instance={key: item.get(key) for key in keys} if keys else item
            )
        seen.add(identity)


_WORDS = {"type": _type, "x-kubernetes-int-or-string": _int_or_string, "x-kubernetes-list-type": _unique}
_Validator = validators.extend(Draft4Validator, _WORDS)
