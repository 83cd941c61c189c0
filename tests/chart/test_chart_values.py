"""Values: every one is documented, and one that is misspelt or senseless is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scripts.reference import values
from tests.chart.helm import CHART, Manifest, load, refusal

(DEFAULTS,) = load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"watchNamespace": ["a"]}, "watchNamespace"),
        ({"worker": {"img": {}}}, "img"),
        ({"worker": {"image": {"repository": "r", "pullPolicy": "Sometimes"}}}, "pullPolicy"),
        ({"worker": {"tolerations": [{"kye": "gpu"}]}}, "kye"),
        ({"worker": {"stepTolerations": [{"operator": "Exist"}]}}, "operator"),
        ({"worker": {"nodeSelector": {"gpu": True}}}, "nodeSelector/gpu"),
        ({"worker": {"podLabels": {"a b": "c"}}}, "a b"),
        ({"worker": {"runtimeClassName": "Nvidia"}}, "runtimeClassName"),
        ({"worker": {"env": {"HF-ENDPOINT": "x"}}}, "HF-ENDPOINT"),
        ({"worker": {"env": {"HTTPS_PROXY": {"value": "x"}}}}, "HTTPS_PROXY"),
        ({"worker": {"modelCache": {"claim": "x"}}}, "claim"),
        ({"worker": {"modelCache": {"size": "200 GB"}}}, "size"),
        ({"worker": {"modelCache": {"accessModes": ["ReadOnlyMany"]}}}, "accessModes"),
        ({"worker": {"modelCache": {"create": True}}}, "worker.modelCache.namespaces is needed"),
        ({"image": {"repository": "r", "digest": "sha256:1"}}, "digest"),
        ({"image": {"repository": "r", "disgest": ""}}, "disgest"),
        ({"metrics": {"prot": 1}}, "prot"),
        ({"serviceAccount": {"annotation": {}}}, "annotation"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
        ({"watchNamespaces": ["a", "a"]}, "watchNamespaces"),
        ({"image": {"repository": ""}}, "repository"),
        ({"image": {"repository": "r", "pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"worker": {"acceleratorResource": "gpu"}}, "acceleratorResource"),
        ({"metrics": {"port": 80}}, "port"),
        ({"metrics": {"podMonitor": {"enable": True}}}, "enable"),
        ({"metrics": {"podMonitor": {"interval": "30"}}}, "interval"),
        ({"metrics": {"serviceMonitor": {"keep": []}}}, "keep"),
        ({"metrics": {"serviceMonitor": {"enabled": True}, "service": {"create": False}}}, "service.create"),
        ({"logLevel": "loud"}, "logLevel"),
        ({"resources": {"request": {}}}, "request"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name"),
        ({"replicas": 3}, "replicas"),
        ({"extraEnv": [{"name": "A", "vaule": "1"}]}, "vaule"),
        ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "topologyKey"),
        ({"tolerations": [{"keys": "a"}]}, "keys"),
        ({"affinity": {"podAfinity": {}}}, "podAfinity"),
        ({"worker": {"securityContext": {"pod": {"runAsNonRot": True}}}}, "runAsNonRot"),
        ({"worker": {"stepResources": {"limits": {"cpu": ["1"]}}}}, "limits/cpu"),
    ],
    ids=json.dumps,
)
def test_a_wrong_value_is_refused_by_its_name(wrong: Manifest, named: str) -> None:
    assert named in refusal(wrong)


def test_every_key_of_the_schema_says_its_type_and_what_it_is_and_takes_no_misspelt_one() -> None:
    schema = values.described()

    def check(node: dict[str, Any], path: str) -> None:
        node = values.resolved(schema, node)
        assert "type" in node, f"{path} has no type in values.schema.json"
        if "properties" in node:
            assert node["additionalProperties"] is False, f"{path}: a misspelt key of it would be taken"
        elif node["type"] == "object" and path != "values.global":
            assert {"additionalProperties", "propertyNames"} & node.keys(), f"{path} takes any key"
        for key, child in node.get("properties", {}).items():
            assert child.get("description"), f"{path}.{key} has no description in values.schema.json"
            check(child, f"{path}.{key}")
        for inner in (node.get("items"), node.get("additionalProperties")):
            if isinstance(inner, dict):
                check(inner, f"{path}[]")

    check(schema, "values")


def test_a_default_fits_the_schema() -> None:
    jsonschema.Draft7Validator(values.described()).validate(DEFAULTS)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({}, "values.schema.json lacks logLevel"),
        ({"logLevel": {}, "loglevel": {}}, "values.yaml lacks loglevel"),
    ],
)
def test_a_value_that_is_in_one_file_only_is_named(
    schema: Manifest, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(monkeypatch, tmp_path, "# How much is logged.\nlogLevel: info\n", {"properties": schema})
    with pytest.raises(ValueError, match=said):
        values.values()


@pytest.mark.parametrize(
    "text", ["logLevel: info\n", "logLevel: info  # behind\n", "# above\n\nlogLevel: info\n"]
)
def test_a_value_without_a_comment_right_above_it_is_named(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(monkeypatch, tmp_path, text, {"properties": {"logLevel": {"type": "string"}}})
    with pytest.raises(ValueError, match="logLevel has no comment right above it"):
        values.values()


def test_the_page_has_a_values_type_default_and_the_whole_comment() -> None:
    rows = values.page().splitlines()
    (row,) = [row for row in rows if row.startswith("| `metrics.port` |")]
    assert row.startswith("| `metrics.port` | integer from 1024 to 65535 | `9090` | ")
    (row,) = [row for row in rows if row.startswith("| `watchNamespaces` |")]
    assert "of them, with a ClusterRole. With names: a Role in each of them and no cluster-wide" in row


def point_to(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, schema: Manifest) -> None:
    """Let the reference be made from these two files."""
    for name, file, content in (
        ("VALUES", "values.yaml", text),
        ("SCHEMA", "values.schema.json", json.dumps(schema)),
    ):
        (folder / file).write_text(content)
        monkeypatch.setattr(values, name, folder / file)


def test_every_value_is_read_by_a_template() -> None:
    names = {value.name for value in values.values()}
    assert {name for name in names if not any(covers(one, name) for one in read())} == set(), (
        "no template reads these values: a setting that nothing honours is a defect"
    )


def test_every_value_that_a_template_reads_exists() -> None:
    names = {value.name for value in values.values()}
    assert {one for one in read() if not any(covers(one, name) for name in names)} == set(), (
        "values.yaml lacks what the templates read"
    )


def read() -> set[str]:
    """The values that the templates name, with dots."""
    text = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    return {found.rstrip(".") for found in re.findall(r"\.Values\.([A-Za-z.]+)", text)}


def covers(read: str, name: str) -> bool:
    """Whether a template that reads `read` reads the value `name`."""
    return name == read or name.startswith(f"{read}.")
