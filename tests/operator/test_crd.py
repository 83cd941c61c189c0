"""The CustomResourceDefinition: up to date, structural, explained, bounded, and true to the API types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from rephrase_operator import api
from rephrase_operator.api import crd
from rephrase_operator.api.status import RephraseJobStatus
from rephrase_operator.library import library

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("rephrasejob-*.yaml"))


def schema() -> dict[str, Any]:
    found: dict[str, Any] = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes(node["additionalProperties"], f"{path}{{}}")


def spec_nodes() -> list[tuple[str, dict[str, Any]]]:
    return list(nodes(schema()["properties"]["spec"], "spec"))


def test_the_crd_file_is_up_to_date_with_the_types() -> None:
    assert crd.CRD_PATH.read_text() == crd.render(), "run `make generate`"


def test_every_field_is_explained() -> None:
    everything = [*spec_nodes(), *nodes(schema()["properties"]["status"], "status")]
    missing = [
        path for path, node in everything if not path.endswith(("[]", "{}")) and not node.get("description")
    ]
    assert missing == []


def test_everything_in_a_spec_is_bounded_so_that_rules_have_a_cost() -> None:
    unbounded = []
    for path, node in spec_nodes():
        if node.get("type") == "string" and not ({"maxLength", "enum"} & set(node)):
            unbounded.append(path)
        if node.get("type") == "array" and "maxItems" not in node:
            unbounded.append(path)
        if "additionalProperties" in node and "maxProperties" not in node:
            unbounded.append(path)
    assert unbounded == []


def test_nothing_is_left_that_a_structural_schema_forbids() -> None:
    forbidden = {"$ref", "anyOf", "oneOf", "allOf", "title", "const", "$defs"}
    assert [path for path, node in nodes(schema()) if forbidden & set(node)] == []


def test_rules_point_at_fields_that_exist() -> None:
    for path, node in spec_nodes():
        for rule in node.get("x-kubernetes-validations", ()):
            first = rule.get("fieldPath", "").strip(".").partition(".")[0]
            assert not first or first in node["properties"], (path, rule)


def test_columns_and_scale_point_at_fields_that_exist() -> None:
    version = crd.build()["spec"]["versions"][0]
    scale = version["subresources"]["scale"]
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    for path in [*paths, *(scale[name] for name in scale)]:
        node = schema()
        if path.startswith(".metadata"):
            continue
        for part in path.strip(".").split("."):
            node = node["properties"][part]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    text = Template(path.read_text()).safe_substitute(MODEL="/m", INPUT="/i", OUTPUT="/o")
    spec = api.parse_spec(yaml.safe_load(text)["spec"])
    assert all(choice.template or choice.name in library() for choice in spec.prompts)


def test_a_status_survives_the_api_server() -> None:
    status = RephraseJobStatus.model_validate({"phase": "Running", "added": "by a newer operator"})
    assert RephraseJobStatus.model_validate(status.to_api()) == status
