"""Keeps a status within the limits of its schema, whatever pods and kubelets have put into it.

If one message or list is too long, the API server refuses the whole status, and a job whose status can't be
written makes no progress. So this module cuts everything to the schema that the API server will check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

KEY_LIMIT = 256
"""Longest key of a map. A schema can't limit keys, but an object must not get too large."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without control characters for terminals and without lone surrogates.

    The API server turns a lone surrogate into another character. The status that it returns would always
    differ from the one that was written, and would be written again and again.
    """
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "replace").decode()


def shortened(text: str, limit: int) -> str:
    """The plain text, cut to a number of characters."""
    text = plain(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def bounded(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """JSON within the limits of its schema, as pydantic writes it. What is too long is cut at the end."""
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
