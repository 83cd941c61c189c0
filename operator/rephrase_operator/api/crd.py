"""Writes the CustomResourceDefinition from the API types.

`python -m rephrase_operator.api.crd --write` writes it, `--check` fails when the file is out of date. The
schema is structural (KEP-1111): it has no references and no alternatives, and every object lists its fields.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from rephrase_operator.api import rephrasejob
from rephrase_operator.api.cel import CONTRACT_RULES, Rule, Spec
from rephrase_operator.api.status import RephraseJobStatus

CRD_PATH = Path(__file__).resolve().parents[3] / "crds" / f"{rephrasejob.GROUP}_{rephrasejob.PLURAL}.yaml"

HEADER = "# Generated from operator/rephrase_operator/api/ by `make generate`. Do not edit.\n"

VERSION_ANNOTATION = f"{rephrasejob.GROUP}/version"
"""The version of this project that the CRD is from: an older one must not replace a newer one."""

_KEPT = {
    "type",
    "format",
    "description",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
}

_COLUMNS: tuple[tuple[str, str, str, int, str], ...] = (
    ("Phase", "string", ".status.phase", 0, "The phase of the job"),
    ("Progress", "string", ".status.progress.percent", 0, "Share of the samples that are finished"),
    ("Shards", "string", ".status.shards.summary", 0, "Finished and planned shards"),
    ("Tok/s", "number", ".status.progress.tokensPerSecond", 0, "Output tokens per second"),
    ("ETA", "string", ".status.progress.eta", 0, "Time left at the mean pace of the workers"),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since the job was created"),
    ("Tok/s/GPU", "number", ".status.progress.tokensPerSecondPerGpu", 1, "Output tokens per second and GPU"),
    ("Workers", "integer", ".status.progress.workers", 1, "Workers that are running"),
    ("Documents", "integer", ".status.progress.documents", 1, "Documents done"),
    ("Estimate", "string", ".status.estimate.summary", 1, "GPU-hours and cost that are expected"),
    ("GPU-hours", "number", ".status.cost.gpuHours", 1, "GPU-hours spent so far"),
    ("Message", "string", ".status.message", 1, "What is going on"),
)


def build() -> dict[str, Any]:
    """The CustomResourceDefinition as plain data."""
    spec_schema = structural(rephrasejob.RephraseJobSpec)
    status_schema = structural(RephraseJobStatus)
    root: dict[str, Any] = {
        "description": "A dataset to be made by rephrasing another one with a language model.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
            "kind": {"type": "string", "description": "Kind of this object."},
            # Named, for a rule points at it.
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": spec_schema,
            "status": status_schema,
        },
        "x-kubernetes-validations": [_rule(rule) for rule in rephrasejob.ROOT_RULES],
    }
    names = {
        "kind": rephrasejob.KIND,
        "listKind": f"{rephrasejob.KIND}List",
        "plural": rephrasejob.PLURAL,
        "singular": rephrasejob.KIND.lower(),
        "shortNames": ["rj"],
        "categories": ["rephrase"],
    }
    version = {
        "name": rephrasejob.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "description": text}
            | ({"priority": priority} if priority else {})
            for name, kind, path, priority, text in _COLUMNS
        ],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.parallelism",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "schema": {"openAPIV3Schema": root},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{rephrasejob.PLURAL}.{rephrasejob.GROUP}",
            "annotations": {VERSION_ANNOTATION: metadata.version("rephrase-operator")},
        },
        "spec": {"group": rephrasejob.GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def version_of(crd: Mapping[str, Any]) -> str:
    """The version of this project that a CRD is from; empty if it does not say."""
    return str((crd["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, ""))


def render() -> str:
    """The CustomResourceDefinition as the text of its file."""
    return HEADER + yaml.safe_dump(build(), sort_keys=False, width=110, allow_unicode=True)


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """A model's structural schema, with the CEL rules of it and of every model inside."""
    raw = model.model_json_schema(by_alias=True)
    classes = {found.__name__: found for found in _models(model)}
    return _convert(raw, raw.get("$defs", {}), classes)


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The model and every model that its fields mention."""
    found = {model}
    for field in model.model_fields.values():
        pending: list[Any] = [field.annotation]
        while pending:
            annotation = pending.pop()
            if get_origin(annotation) is not None:
                pending.extend(get_args(annotation))
            elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
                found |= _models(annotation)
    return found


def _convert(
    node: dict[str, Any], definitions: dict[str, Any], classes: dict[str, type[BaseModel]]
) -> dict[str, Any]:
    """One node of JSON Schema 2020-12 as pydantic writes it, in the form that Kubernetes takes."""
    node = _resolve(node, definitions)
    result = {key: copy.deepcopy(value) for key, value in node.items() if key in _KEPT}
    if result.get("default", ...) is None:
        del result["default"]
    if isinstance(result.get("default"), dict):
        # With an empty default the API server fills in the defaults of the fields inside.
        result["default"] = {}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if "const" in node:
        result["enum"] = [node["const"]]
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if flag in node:
            result[bound], result[flag] = node[flag], True
    if result.get("type") == "integer":
        result["format"] = "int64"
    if result.get("type") == "object":
        if "properties" in node:
            result["properties"] = {
                name: _convert(child, definitions, classes) for name, child in node["properties"].items()
            }
            if node.get("required"):
                result["required"] = node["required"]
        elif "additionalProperties" in node:
            result["additionalProperties"] = _convert(node["additionalProperties"], definitions, classes)
    if result.get("type") == "array":
        result["items"] = _convert(node["items"], definitions, classes)
        result.setdefault("x-kubernetes-list-type", "atomic")
    rules = _rules_of(classes.get(node.get("title", "")))
    if rules and "properties" in result:
        result["x-kubernetes-validations"] = [_rule(rule) for rule in rules]
    return result


def _resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference and drop the null of an optional field. Keys beside the reference win."""
    if node.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in node.items() if key not in ("anyOf", "type")}
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf", "title")}
    if "$ref" in node:
        return _resolve(definitions[node["$ref"].rpartition("/")[2]], definitions) | beside
    if "anyOf" in node:
        (choice,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        return _resolve(choice, definitions) | beside
    return node


def _rules_of(model: type[BaseModel] | None) -> tuple[Rule, ...]:
    if model is None:
        return ()
    if issubclass(model, Spec):
        return model.rules
    return next((rules for kind, rules in CONTRACT_RULES.items() if kind is model), ())


def _rule(rule: Rule) -> dict[str, str]:
    written = {"rule": rule.rule, "message": rule.message}
    if rule.field_path:
        written["fieldPath"] = rule.field_path
    return written


def main() -> int:
    """Entry point; returns 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m rephrase_operator.api.crd", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the file")
    action.add_argument("--check", action="store_true", help="fail when the file is out of date")
    arguments = parser.parse_args()
    text = render()
    if arguments.write:
        CRD_PATH.parent.mkdir(exist_ok=True)
        CRD_PATH.write_text(text)
        return 0
    if not CRD_PATH.exists() or CRD_PATH.read_text() != text:
        sys.stderr.write(f"{CRD_PATH.name} differs from the API types: run `make generate`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
