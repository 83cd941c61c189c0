"""The CRDs in the chart: the generated ones, whole, and good for the examples."""

from __future__ import annotations

import base64
import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.chart import golden
from tests.chart.helm import CHART, ROOT, Manifest, helm, load
from tests.chart.test_chart_manifests import KUBERNETES

CRDS = sorted((ROOT / "crds").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_a_package_carries_the_generated_crds_as_files(tmp_path: Path) -> None:
    done = helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.iterdir()
    with tarfile.open(package) as tar:
        members = {member.name: member for member in tar.getmembers()}
        packed = {}
        for name, member in members.items():
            if "/crds/" in name:
                assert member.isreg()
                content = tar.extractfile(member)
                assert content is not None
                packed[Path(name).name] = content.read()
    assert packed == {path.name: path.read_bytes() for path in CRDS}
    assert packed


def test_a_packaged_chart_renders_as_the_checkout_does(tmp_path: Path) -> None:
    assert helm("package", CHART, "--destination", tmp_path).returncode == 0
    (package,) = tmp_path.iterdir()
    packed, checkout = (helm("template", "test", chart, "--include-crds") for chart in (package, CHART))
    assert packed.stdout == checkout.stdout
    assert {
        m["metadata"]["name"] for m in load(packed.stdout) if m["kind"] == "CustomResourceDefinition"
    } == {path.stem.replace("rephrase.dev_", "") + ".rephrase.dev" for path in CRDS}


def test_a_release_fits_into_the_secret_that_helm_keeps_it_in(tmp_path: Path) -> None:
    assert helm("package", CHART, "--destination", tmp_path).returncode == 0
    (package,) = tmp_path.iterdir()
    with tarfile.open(package) as tar:
        files = b"".join(found.read() for name in tar if (found := tar.extractfile(name)) is not None)
    manifests = json.dumps(golden.rendered("everything")).encode()
    release = base64.b64encode(gzip.compress(base64.b64encode(files) + manifests))
    assert len(release) < 512 * 1024, "a Secret holds at most 1 MiB, and Helm adds to this"


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("version", KUBERNETES)
def test_a_crd_is_valid_on_every_supported_kubernetes(path: Path, version: str) -> None:
    (crd,) = load(path.read_text())
    assert kubernetes_validate.validate(crd, version, strict=True) == version


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_the_crd_without_an_unknown_field(path: Path) -> None:
    for example in load(path.read_text()):
        jsonschema.Draft4Validator(schema_of(example)).validate(example)


def test_there_are_examples() -> None:
    assert EXAMPLES


def schema_of(manifest: Manifest) -> dict[str, Any]:
    """The JSON schema of a manifest's CRD, unknown fields refused instead of pruned."""
    group, _, version = manifest["apiVersion"].partition("/")
    for path in CRDS:
        (crd,) = load(path.read_text())
        if crd["spec"]["group"] == group and crd["spec"]["names"]["kind"] == manifest["kind"]:
            (found,) = (one for one in crd["spec"]["versions"] if one["name"] == version)
            schema: dict[str, Any] = strict(found["schema"]["openAPIV3Schema"])
            for standard in ("apiVersion", "kind", "metadata"):
                schema["properties"][standard] = {}
            return schema
    raise AssertionError(f"no CRD for {manifest['apiVersion']} {manifest['kind']}")


def strict(node: Any) -> Any:
    """A structural schema as JSON Schema of draft 4 (its exclusive bounds are OpenAPI's), objects closed."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: strict(value) for key, value in node.items() if not key.startswith("x-kubernetes-")}
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node:
        closed["additionalProperties"] = False
    if node.get("x-kubernetes-int-or-string"):
        closed["type"] = ["integer", "string"]
    return closed
