"""The real helm on the real chart."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "rephrase-operator"

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """Path of a program that set-up installs, so that one that is missing is a failure."""
    found = shutil.which(name, path=f"{ROOT / '.cache' / 'bin'}:{ROOT / '.venv' / 'bin'}") or shutil.which(
        name
    )
    if found is None:
        pytest.fail(f"{name} is not installed: run `make setup`")
    return found


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm; the caller looks at the exit status."""
    return subprocess.run(
        [tool("helm"), *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
    )


def render(
    values: Manifest | None = None, *, namespace: str = "rephrase", release: str = "test"
) -> list[Manifest]:
    """The manifests of the chart with these values."""
    done = helm("template", release, CHART, "--namespace", namespace, *as_flags(values))
    assert done.returncode == 0, done.stderr
    return load(done.stdout)


class StrictLoader(yaml.SafeLoader):
    """Refuses what YAML parsers are free to take: one key twice in a map."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key twice: {keys}{node.start_mark}"
        return super().construct_mapping(node, deep=deep)


def load(text: str) -> list[Manifest]:
    """The documents of a YAML stream, empty ones left out."""
    return [manifest for manifest in yaml.load_all(text, Loader=StrictLoader) if manifest]


def refusal(values: Manifest) -> str:
    """What helm says of values that the chart must refuse."""
    done = helm("template", "test", CHART, *as_flags(values))
    assert done.returncode != 0, f"accepted: {values}"
    return done.stderr


def as_flags(values: Manifest | None) -> list[str]:
    """Values as `--set-json` flags, one a top-level key."""
    return [
        part for key, value in (values or {}).items() for part in ("--set-json", f"{key}={json.dumps(value)}")
    ]


def hooks(manifests: Sequence[Manifest], event: str) -> list[Manifest]:
    """The manifests that Helm makes only for an event such as `pre-upgrade` or `test`."""
    return [found for found in manifests if event in hook_events(found)]


def hook_events(manifest: Manifest) -> list[str]:
    """The events that a manifest is a hook of; none if it is a lasting part of the release."""
    named = manifest["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    return named.split(",") if named else []


def lasting(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The manifests of a release without its hooks."""
    return [found for found in manifests if not hook_events(found)]


def of_kind(manifests: Sequence[Manifest], kind: str) -> list[Manifest]:
    """The manifests of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests: Sequence[Manifest], kind: str) -> Manifest:
    """The only manifest of a kind."""
    (manifest,) = of_kind(manifests, kind)
    return manifest
