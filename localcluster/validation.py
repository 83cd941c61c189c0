"""kube-apiserver's validation of metadata and of small kinds, with its messages."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from localcluster.errors import Cause, Object

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_KEY = "[-._a-zA-Z0-9]+"
_ENDS = "must start and end with an alphanumeric character"
_WORDS = {
    _LABEL: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    f"{_ENDS} (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')",
    _SUBDOMAIN: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    f"'.', and {_ENDS} (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')",
    _NAME: f"must consist of alphanumeric characters, '-', '_' or '.', and {_ENDS} "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')",
    f"({_NAME})?": "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    f"'.', and {_ENDS} (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'({_NAME})?')",
    _KEY: "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    f"'KEY_NAME',  or 'key-name', regex used for validation is '{_KEY}')",
}
MAX_ANNOTATIONS = 256 << 10
MAX_DATA = 1 << 20
MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def invalid_value(field: str, value: Any, why: str) -> Cause:
    """A value that is wrong for the reason given."""
    shown = json.dumps(value, separators=(",", ":"))
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {why}")


def required(field: str, why: str = "") -> Cause:
    """A value that is missing."""
    return Cause(field, "FieldValueRequired", "Required value" + (f": {why}" if why else ""))


def forbidden(field: str, why: str) -> Cause:
    """A value that must not be there."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def duplicate(field: str, value: Any) -> Cause:
    """A value that was there before."""
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {json.dumps(value)}")


def one_of(field: str, value: Any, known: Iterable[str]) -> Iterator[Cause]:
    """A cause unless the value is one of those known; nothing for None."""
    if value is not None and value not in known:
        listed = ", ".join(json.dumps(one) for one in known)
        text = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
        yield Cause(field, "FieldValueNotSupported", text)


def too_many(field: str, items: list[Any], limit: int) -> Iterator[Cause]:
    """A cause when there are more items than the limit."""
    if len(items) > limit:
        text = f"Too many: {len(items)}: must have at most {limit} items"
        yield Cause(field, "FieldValueTooMany", text)


def at_least_zero(field: str, value: Any) -> Iterator[Cause]:
    """A cause for negative numbers; nothing for None."""
    if value is not None and value < 0:
        yield invalid_value(field, value, "must be greater than or equal to 0")


def quantity(amount: Any) -> Decimal:
    """A resource quantity as a number."""
    number: Decimal = parse_quantity(amount)
    return number


Check = Callable[[str], Iterator[str]]
"""What is wrong with a text."""


def _matching(pattern: str, limit: int, unit: str) -> Check:
    def check(text: str) -> Iterator[str]:
        if len(text) > limit:
            yield f"must be no more than {limit} {unit}"
        if not re.fullmatch(pattern, text):
            yield _WORDS[pattern]

    return check


dns_label = _matching(_LABEL, 63, "characters")
dns_subdomain = _matching(_SUBDOMAIN, 253, "characters")
label_value = _matching(f"({_NAME})?", 63, "bytes")
_name_part = _matching(_NAME, 63, "bytes")
_key_syntax = _matching(_KEY, 253, "characters")


def config_key(text: str) -> Iterator[str]:
    """Keys of ConfigMaps and Secrets, which become names of files."""
    yield from _key_syntax(text)
    if text in (".", "..") or text.startswith(".."):
        yield (
            "must not be '..'"
            if text == ".."
            else "must not be '.'"
            if text == "."
            else "must not start with '..'"
        )


def qualified_name(text: str) -> Iterator[str]:
    """Keys of labels and annotations, types of conditions."""
    *prefixes, name = text.split("/")
    if len(prefixes) > 1:
        example = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        yield f"a valid label key {_WORDS[_NAME]} {example}"
        return
    yield from (f"prefix part {why}" for prefix in prefixes for why in dns_subdomain(prefix))
    yield from (f"name part {why}" for why in ([] if name else ["must be non-empty"]))
    yield from (f"name part {why}" for why in (_name_part(name) if name else ()))


def checked(field: str, text: str, check: Check) -> list[Cause]:
    """The causes that a check finds."""
    return [invalid_value(field, text, why) for why in check(text)]


def labels(field: str, found: Object) -> Iterator[Cause]:
    """Labels, or a selector of nodes."""
    for key, value in found.items():
        yield from checked(field, key, qualified_name)
        yield from checked(field, value, label_value)


def annotations(field: str, found: Object) -> Iterator[Cause]:
    """Annotations; their values may be anything, but not long."""
    for key in found:
        yield from [invalid_value(field, key, why) for why in qualified_name(key.lower())]
    if sum(len(key.encode()) + len(text.encode()) for key, text in found.items()) > MAX_ANNOTATIONS:
        yield Cause(field, "FieldValueTooLong", f"Too long: may not be more than {MAX_ANNOTATIONS} bytes")


def metadata(meta: Object) -> Iterator[Cause]:
    """The metadata of any object, save its name."""
    yield from labels("metadata.labels", meta.get("labels") or {})
    yield from annotations("metadata.annotations", meta.get("annotations") or {})
    for number, name in enumerate(meta.get("finalizers") or ()):
        where = f"metadata.finalizers[{number}]"
        yield from checked(where, name, qualified_name)
        if "/" not in name and name not in _FINALIZERS:
            yield invalid_value(
                where, name, "name is neither a standard finalizer name nor is it fully qualified"
            )
    references = meta.get("ownerReferences") or []
    for one in references:
        for key in ("apiVersion", "kind", "name", "uid"):
            if not one.get(key):
                yield invalid_value(f"metadata.ownerReferences.{key}", one.get(key, ""), "must not be empty")
    controllers = [f"{one['kind']}/{one['name']}" for one in references if one.get("controller")]
    if len(controllers) > 1:
        why = 'Only one reference can have Controller set to true. Found "true" in references for '
        yield invalid_value("metadata.ownerReferences", references, why + " and ".join(controllers[:2]))


def config_map(obj: Object) -> Iterator[Cause]:
    """Keys and size of a ConfigMap or a Secret."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for name, found in (("data", data), ("binaryData", binary)):
        for key in found:
            yield from checked(f"{name}[{key}]", key, config_key)
    for key in data.keys() & binary.keys():
        yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    if sum(len(text.encode()) for text in [*data.values(), *binary.values()]) > MAX_DATA:
        yield Cause("[]", "FieldValueTooLong", f"Too long: may not be more than {MAX_DATA} bytes")


def claim(obj: Object, old: Object | None) -> Iterator[Cause]:
    """A PersistentVolumeClaim."""
    spec = obj["spec"]
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    for mode in spec.get("accessModes", ()):
        yield from one_of("spec.accessModes", mode, MODES)
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if wanted is None:
        yield required("spec.resources[storage]")
    elif quantity(wanted) <= 0:
        yield invalid_value("spec.resources[storage]", str(wanted), "must be greater than zero")
    if old and {**spec, "resources": None} != {**old["spec"], "resources": None}:
        free = "resources.requests and volumeAttributesClassName for bound claims"
        yield forbidden("spec", f"spec is immutable after creation except {free}")
