"""The page of the RephraseJob: one section for each object in the CRD's schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rephrase_operator.api import crd
from rephrase_operator.api.rephrasejob import RECIPE_FIELDS
from scripts.reference.markdown import GENERATED, code, table

Node = dict[str, Any]

INTRODUCTION = """\
# RephraseJob reference

Every field of a `RephraseJob`, from the CustomResourceDefinition. [How a job behaves](../rephrasejob.md) says
how a job behaves; `kubectl explain rephrasejob.spec` shows the same fields in a terminal.
"""

RECIPE = "Part of the recipe: can't change once `status.startTime` is set.\n"

UNITS = {"string": "characters", "array": "items", "object": "entries"}


def page() -> str:
    """The page's text."""
    definition = crd.build()["spec"]
    version = definition["versions"][0]
    root: Node = version["schema"]["openAPIV3Schema"]
    parts = [
        GENERATED,
        INTRODUCTION,
        _names(definition, version),
        _columns(version),
        "## Rules for the whole object\n",
        _rules(root),
    ]
    sections = [found for top in ("spec", "status") for found in objects(root["properties"][top], top)]
    parts.append("## Objects\n")
    parts.append("\n".join(f"- [{path}](#{anchor(path)})" for path, _ in sections) + "\n")
    parts += [_section(path, node) for path, node in sections]
    return "\n".join(parts)


def objects(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """The object at a path and all objects with fields of their own below it, parents first."""
    if "properties" in node:
        yield path, node
    for name, child in node.get("properties", {}).items():
        yield from objects(child, f"{path}.{name}")
    if "items" in node:
        yield from objects(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from objects(node["additionalProperties"], f"{path}{{}}")


def _names(definition: Node, version: Node) -> str:
    names = definition["names"]
    scale = version["subresources"]["scale"]
    return table(
        ["", ""],
        [
            ["apiVersion", code(f"{definition['group']}/{version['name']}")],
            ["kind", code(names["kind"])],
            ["in kubectl", ", ".join(map(code, (names["plural"], names["singular"], *names["shortNames"])))],
            ["scope", definition["scope"].lower()],
            ["`kubectl scale` sets", code(scale["specReplicasPath"].strip("."))],
        ],
    )


def _columns(version: Node) -> str:
    rows = [
        [
            column["name"],
            code(column["jsonPath"].strip(".")),
            "`-o wide`" if column.get("priority") else "always",
            f"{column['description']}.",
        ]
        for column in version["additionalPrinterColumns"]
    ]
    return "## Columns of `kubectl get`\n\n" + table(["Column", "Field", "Shown", "Meaning"], rows)


def _section(path: str, node: Node) -> str:
    """An object: what it is for, its fields, and the rules that hold between them."""
    required = node.get("required", [])
    rows = [
        [
            code(name),
            _type(child, f"{path}.{name}"),
            "**required**" if name in required else _default(child),
            _limits(child),
            child.get("description", ""),
        ]
        for name, child in node["properties"].items()
    ]
    parts = [f"## {path}\n"]
    if node.get("description"):
        parts.append(f"{node['description']}\n")
    if re.match(rf"spec\.({'|'.join(RECIPE_FIELDS)})\b", path):
        parts.append(RECIPE)
    parts.append(table(["Field", "Type", "Default", "Limits", "Meaning"], rows))
    if node.get("x-kubernetes-validations"):
        parts.append(_rules(node))
    return "\n".join(parts)


def _rules(node: Node) -> str:
    """A list of rules: the field that a refusal names, its message, and the CEL that must hold."""
    lines = ["The API server refuses an object that breaks a rule, with the rule's message:\n"]
    for rule in node["x-kubernetes-validations"]:
        field = rule.get("fieldPath", "").strip(".")
        lines.append(f"- {code(field) + ': ' if field else ''}{rule['message']}<br>{code(rule['rule'])}")
    return "\n".join(lines) + "\n"


def _type(node: Node, path: str) -> str:
    """The type in words, linked to the section of an object."""
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    match node["type"]:
        case "array":
            return f"list of {_type(node['items'], f'{path}[]')}"
        case "object" if "properties" in node:
            return f"[object](#{anchor(path)})"
        case "object" if "additionalProperties" in node:
            return f"map of string to {_type(node['additionalProperties'], f'{path}{{}}')}"
        case "string" if node.get("format") == "date-time":
            return "time"
        case plain:
            return str(plain)


def anchor(path: str) -> str:
    """The anchor that GitHub gives to a heading: lower case, without punctuation."""
    return re.sub(r"[^\w -]", "", path.lower())


def _default(node: Node) -> str:
    if "default" not in node:
        return ""
    if node["type"] == "object" and node["default"] == {} and "properties" in node:
        return "its fields' defaults"
    return code(json.dumps(node["default"]))


def _limits(node: Node) -> str:
    """Everything that the schema says about a value beside its type."""
    limits = []
    if "enum" in node:
        limits.append(", ".join(code(str(value)) for value in node["enum"]))
    limits += filter(None, [_range(node), _size(node)])
    if "pattern" in node:
        limits.append(code(node["pattern"]))
    inner = node.get("items") or node.get("additionalProperties")
    if inner and "properties" not in inner and (each := _limits(inner)):
        limits.append(f"each: {each}")
    if node.get("x-kubernetes-list-map-keys"):
        limits.append("unique by " + ", ".join(map(code, node["x-kubernetes-list-map-keys"])))
    return "; ".join(limits)


def _range(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None and not above and not below:
        return f"{low:,} to {high:,}"
    parts = []
    if low is not None:
        parts.append(f"above {low:,}" if above else f"at least {low:,}")
    if high is not None:
        parts.append(f"below {high:,}" if below else f"at most {high:,}")
    return ", ".join(parts)


def _size(node: Node) -> str:
    low = node.get("minLength", node.get("minItems"))
    high = node.get("maxLength", node.get("maxItems", node.get("maxProperties")))
    if high is None and low is None:
        return ""
    unit = UNITS[node["type"]]
    if high is None:
        return f"at least {low:,} {unit}"
    return f"{low:,} to {high:,} {unit}" if low else f"at most {high:,} {unit}"
