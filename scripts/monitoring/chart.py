"""The chart's monitors as `helm template` renders them, and its rules, which are plain files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "rephrase-operator"
RULES = CHART / "rules" / "*.yaml"
"""The rule files; Prometheus takes the pattern as it is."""
TEMPLATES = ("podmonitor.yaml", "servicemonitor.yaml")

Manifest = dict[str, Any]


def monitors(
    *,
    namespace: str,
    release: str = "rephrase",
    watched: tuple[str, ...] = (),
    values: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Manifest]:
    """The monitors of a release.

    `values` are set beside their `enabled`, by name: `{"podMonitor": {"interval": "2s"}}`. `watched` are the
    namespaces of jobs; none means all. Raises CalledProcessError with helm's words when it refuses.
    """
    metrics = {
        name: {"enabled": True, **(values or {}).get(name, {})} for name in ("podMonitor", "serviceMonitor")
    }
    command = ["helm", "template", release, str(CHART), "--namespace", namespace]
    command += ["--set-json", f"metrics={json.dumps(metrics)}"]
    command += ["--set-json", f"watchNamespaces={json.dumps(watched)}"]
    for template in TEMPLATES:
        command += ["--show-only", f"templates/{template}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        failure = subprocess.CalledProcessError(done.returncode, command)
        failure.add_note(done.stderr)
        raise failure
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
