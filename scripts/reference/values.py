"""The page of the chart's values, and the descriptions in their schema: the comments of values.yaml.

A value is written down twice, because no one file can hold both: values.yaml has its default and the comment
above it, values.schema.json has its type and its limits. Everything else is made from these two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from scripts.reference.markdown import GENERATED, code, table

CHART = Path(__file__).resolve().parents[2] / "charts" / "rephrase-operator"
VALUES = CHART / "values.yaml"
SCHEMA = CHART / "values.schema.json"
WIDTH = 110

INTRODUCTION = """\
# Values of the Helm chart

Every value with its default. [Installing the operator](../install.md) says how to set them.
Helm refuses a value that does not exist and names it.
"""

Json = dict[str, Any]


class Value(NamedTuple):
    """A value of the chart that is set as a whole."""

    name: str
    """With dots, as `--set` takes it."""
    type: str
    default: object
    description: str


class Key(NamedTuple):
    """A key of values.yaml as it stands in the file."""

    default: object
    comment: str


def page() -> str:
    """The page's text."""
    rows = [
        [code(value.name), value.type, code(json.dumps(value.default)), value.description]
        for value in values()
    ]
    return "\n".join([GENERATED, INTRODUCTION, table(["Value", "Type", "Default", "Meaning"], rows)])


def values() -> list[Value]:
    """All values in the order of values.yaml.

    Raises ValueError for a key that has no comment, or that only one of values.yaml and the schema has.
    """
    schema = described()
    return list(_values(keys(VALUES.read_text()), schema, schema, ""))


def keys(text: str) -> dict[str, Key]:
    """The keys of a YAML text by their dotted names, each with the comment right above it.

    A comment belongs to a key when it ends in the line above and begins in the key's own column.
    """
    lines = text.splitlines()

    def comment(line: int, column: int) -> str:
        first = line
        while first > 0 and lines[first - 1].startswith(" " * column + "# "):
            first -= 1
        return " ".join(above[column + 1 :].strip() for above in lines[first:line])

    def walk(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, Key]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{prefix}{key.value}"
                default = yaml.safe_load(yaml.serialize(value))
                yield name, Key(default, comment(key.start_mark.line, key.start_mark.column))
                yield from walk(value, f"{name}.")

    return dict(walk(yaml.compose(text), ""))


def described() -> Json:
    """The schema with the comments of values.yaml as descriptions. Raises ValueError as `values` does."""
    schema: Json = json.loads(SCHEMA.read_text())
    _describe(schema, keys(VALUES.read_text()), "")
    return schema


def schema_text() -> str:
    """The text that values.schema.json should have."""
    return spelled(described()) + "\n"


def spelled(node: object, indent: int = 0, used: int = 0) -> str:
    """JSON in which whatever fits into a line stands in a line; `used` columns of the first are taken."""
    flat = json.dumps(node)
    if not isinstance(node, dict | list) or not node or (indent and indent + used + len(flat) < WIDTH):
        return flat
    inner = " " * (indent + 2)
    if isinstance(node, dict):
        heads = {key: f"{json.dumps(key)}: " for key in node}
        parts = [f"{heads[key]}{spelled(value, indent + 2, len(heads[key]))}" for key, value in node.items()]
    else:
        parts = [spelled(value, indent + 2) for value in node]
    begin, end = "{}" if isinstance(node, dict) else "[]"
    return f"{begin}\n{inner}" + f",\n{inner}".join(parts) + f"\n{' ' * indent}{end}"


def resolved(schema: Json, node: Json) -> Json:
    """A node of the schema with the definition that it refers to."""
    reference = node.get("$ref")
    if reference is None:
        return node
    definition: Json = schema["definitions"][reference.removeprefix("#/definitions/")]
    return definition | node


def _describe(node: Json, found: dict[str, Key], prefix: str) -> None:
    known = node["properties"]
    here = {name for name in found if name.startswith(prefix) and "." not in name[len(prefix) :]}
    missing = here - {f"{prefix}{key}" for key in known}
    if missing:
        raise ValueError(f"values.schema.json lacks {', '.join(sorted(missing))}: give its type there")
    for key, child in known.items():
        name = f"{prefix}{key}"
        if name == "global":  # Helm's own, which no chart has in its values.yaml.
            continue
        if name not in found:
            raise ValueError(f"values.yaml lacks {name}, which the schema has: give its default there")
        if not found[name].comment:
            raise ValueError(f"values.yaml: {name} has no comment right above it that says what it is")
        rest = {inner: value for inner, value in child.items() if inner != "description"}
        child.clear()
        child.update({"description": found[name].comment} | rest)
        if "properties" in child:
            _describe(child, found, f"{name}.")


def _values(found: dict[str, Key], schema: Json, node: Json, prefix: str) -> Iterator[Value]:
    for name, key in found.items():
        child = node["properties"].get(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if child is not None and "properties" in child:
            yield from _values(found, schema, child, f"{name}.")
        elif child is not None:
            yield Value(name, _type(schema, child), key.default, key.comment)


def _type(schema: Json, node: Json) -> str:
    node = resolved(schema, node)
    if "enum" in node:
        return ", ".join(code(choice) for choice in node["enum"])
    if node["type"] == "array":
        return f"list of {_type(schema, node['items'])}s"
    if node["type"] == "object" and "additionalProperties" in node and "properties" not in node:
        return "map"
    limits = [
        f"{word} {node[limit]}" for limit, word in (("minimum", "from"), ("maximum", "to")) if limit in node
    ]
    return " ".join([str(node["type"]), *limits])
