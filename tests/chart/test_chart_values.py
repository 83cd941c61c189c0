"""Values: every one is documented, and one that is misspelt or senseless is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.chart.helm import CHART, ROOT, Manifest, load, refusal

(DEFAULTS,) = load((CHART / "values.yaml").read_text())
FREE_MAPS = {
    "resources",
    "metrics.service.annotations",
    "worker.stepResources.requests",
    "worker.stepResources.limits",
    "worker.securityContext.pod",
    "worker.securityContext.container",
}
"""Values that the user replaces as a whole."""


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"watchNamespace": ["a"]}, "watchNamespace"),
        ({"worker": {"img": {}}}, "img"),
        ({"worker": {"image": {"repository": "r", "pullPolicy": "Always"}}}, "pullPolicy"),
        ({"image": {"repository": "r", "digest": "x"}}, "digest"),
        ({"metrics": {"prot": 1}}, "prot"),
        ({"serviceAccount": {"annotation": {}}}, "annotation"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
        ({"watchNamespaces": ["a", "a"]}, "watchNamespaces"),
        ({"image": {"repository": ""}}, "repository"),
        ({"image": {"repository": "r", "pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"worker": {"acceleratorResource": "gpu"}}, "acceleratorResource"),
        ({"metrics": {"port": 80}}, "port"),
        ({"logLevel": "loud"}, "logLevel"),
        ({"resources": {"request": {}}}, "request"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name"),
    ],
    ids=json.dumps,
)
def test_a_wrong_value_is_refused_by_its_name(values: Manifest, named: str) -> None:
    assert named in refusal(values)


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def known(node: dict[str, Any], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for key, child in node.get("properties", {}).items():
            path = f"{prefix}{key}"
            inner = set() if path in FREE_MAPS else known(child, f"{path}.")
            found |= inner or {path}
        return found

    assert known(schema) - {"global"} == leaves(DEFAULTS).keys()


def test_every_value_and_its_default_is_in_the_documentation() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "install.md").read_text().splitlines()
        if line.startswith("| `") and line.count("|") == 4
    ]
    documented = {name.strip("`"): default.strip("`") for name, default, _ in rows}
    assert documented == {name: spelled(default) for name, default in leaves(DEFAULTS).items()}


def test_the_templates_read_every_value_and_no_other() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    read = set(re.findall(r"\.Values\.([A-Za-z.]+)", text))
    names = leaves(DEFAULTS).keys()
    assert all(any(name == one or name.startswith(f"{one}.") for name in names) for one in read)
    assert all(any(name == one or name.startswith(f"{one}.") for one in read) for name in names)


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted name, maps that are replaced as a whole kept together."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in FREE_MAPS:
            found |= leaves(value, f"{path}.")
        else:
            found[path] = value
    return found


def spelled(default: object) -> str:
    """A default as the documentation writes it."""
    return json.dumps(default) if not isinstance(default, str) or not default else default
