"""Makes a status acceptable to the API server, whatever pods and kubelets have put into it.

A message above its field's length, or a list above its, makes the API server refuse the whole status, and a
job whose status can't be written stands still. So everything is cut by the schema that it will be held
against, in this one place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

KEY_LIMIT = 256
"""Longest key of a map. A schema can't limit keys, but the size of an object can."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without what a terminal would act on, and without halves of characters.

    The API server turns such halves (lone surrogates) into another character: what it returns would differ
    from what was written, for ever.
    """
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "replace").decode()


def shortened(text: str, limit: int) -> str:
    """The plain text, cut to a number of characters."""
    text = plain(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def bounded(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """JSON within the limits of its schema, as pydantic writes it: what is too much is cut off at the end."""
    schema = _resolved(schema, definitions)
    if isinstance(value, str):
        return shortened(value, schema.get("maxLength", len(value)))
    if isinstance(value, list):
        items = schema.get("items", {})
        return [bounded(item, items, definitions) for item in value[: schema.get("maxItems")]]
    if isinstance(value, dict):
        fields = schema.get("properties")
        if fields is not None:
            return {name: bounded(inner, fields[name], definitions) for name, inner in value.items()}
        inner_schema = schema.get("additionalProperties", {})
        kept = list(value.items())[: schema.get("maxProperties")]
        return {shortened(name, KEY_LIMIT): bounded(inner, inner_schema, definitions) for name, inner in kept}
    return value


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference, and drop the null of an optional field."""
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        (choice,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return _resolved(choice, definitions)
    return schema
