"""A release is refused unless the tree has its version everywhere and its notes are final."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from scripts import release
from tests.chart.helm import tool
from tests.requirements import ROOT

CHANGELOG = """\
# Changelog

## 0.2.0 (unreleased)

- Not yet.

## 0.1.0 (2026-12-01)

- The first version.
"""
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "Dockerfile", "charts/rephrase-operator/Chart.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.replace("0.1.0", VERSION))
    return tmp_path


def test_the_tags_version_everywhere_is_accepted(tree: Path) -> None:
    release.check(f"v{VERSION}", tree)


def test_this_tree_has_one_version() -> None:
    assert set.union(*release.versions(ROOT).values()) == {VERSION}
    assert f"## {VERSION} (" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("file", "line", "place"),
    [
        ("pyproject.toml", f'version = "{VERSION}"', "pyproject.toml: 9.9.9"),
        ("charts/rephrase-operator/Chart.yaml", f"\nversion: {VERSION}", "Chart.yaml, version: 9.9.9"),
        ("charts/rephrase-operator/Chart.yaml", f"appVersion: {VERSION}", "Chart.yaml, appVersion: 9.9.9"),
        ("Dockerfile", f"ARG VERSION={VERSION}", "Dockerfile: 9.9.9"),
    ],
)
def test_another_version_anywhere_is_refused_and_named(tree: Path, file: str, line: str, place: str) -> None:
    text = (tree / file).read_text()
    assert line in text
    (tree / file).write_text(text.replace(line, line.replace(VERSION, "9.9.9")))
    with pytest.raises(release.ReleaseError) as refused:
        release.check(f"v{VERSION}", tree)
    assert place in str(refused.value)


@pytest.mark.parametrize("tag", [VERSION, "v1", "release-1", f"v{VERSION}; rm"])
def test_a_tag_that_names_no_version_is_refused(tree: Path, tag: str) -> None:
    with pytest.raises(release.ReleaseError, match=r"is not like v1\.2\.3"):
        release.check(tag, tree)


def test_notes_are_one_section_of_the_changelog() -> None:
    assert release.notes("v0.1.0", CHANGELOG) == "- The first version."


@pytest.mark.parametrize(("tag", "why"), [("v0.2.0", "write its date"), ("v0.3.0", "has no section")])
def test_notes_without_a_date_or_a_section_are_refused(tag: str, why: str) -> None:
    with pytest.raises(release.ReleaseError, match=why):
        release.notes(tag, CHANGELOG)


def test_a_released_chart_has_the_released_images_as_defaults(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "release.py"), "chart"]
    path = {"PATH": str(Path(tool("helm")).parent)}
    command = [*script, "--registry", "ghcr.io/someone", "--out", str(tmp_path)]
    subprocess.run(command, env=path, check=True, capture_output=True)
    with tarfile.open(tmp_path / f"rephrase-operator-{VERSION}.tgz") as package:
        names = package.getnames()
        values = package.extractfile("rephrase-operator/values.yaml")
        assert values is not None
        text = values.read().decode()
    assert "repository: ghcr.io/someone/rephrase-operator\n" in text
    assert "repository: ghcr.io/someone/rephrase-worker\n" in text
    assert any(name.startswith("rephrase-operator/crds/") for name in names), "Helm installs them"


def test_base_images_are_those_of_the_dockerfile() -> None:
    bases = release.base_images((ROOT / "Dockerfile").read_text())
    assert bases.keys() == {"PYTHON_IMAGE", "VLLM_IMAGE"}
    assert all(image.startswith("docker.io/") for image in bases.values())
