"""The golden manifests: what the chart renders for a handful of value sets, kept to be looked at in reviews.

`python -m tests.chart.golden --write` (`make generate` runs it) renders them again.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from pathlib import Path
from typing import Any

import yaml

from scripts import generated
from tests.chart.helm import CHART, Manifest, helm, load

HERE = Path(__file__).parent
SETS = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
LONG = 4000
"""Characters from which on a string is shown by its size and its hash, as a dashboard is."""
HEAD = "# Rendered by `make generate` from tests/chart/values/{}.yaml. Do not edit.\n"


@functools.cache
def rendered(name: str) -> tuple[Manifest, ...]:
    """The manifests of a value set, helm's hooks and tests too. Rendered once a process."""
    values = HERE / "values" / f"{name}.yaml"
    done = helm("template", "test", CHART, "--namespace", "rephrase", "--values", values)
    assert done.returncode == 0, done.stderr
    return tuple(load(done.stdout))


def golden(name: str) -> Path:
    """The file of a value set."""
    return HERE / "golden" / f"{name}.yaml"


def text(name: str) -> str:
    """What the file should hold."""
    shown = [shortened(manifest) for manifest in rendered(name)]
    return HEAD.format(name) + yaml.safe_dump_all(shown, sort_keys=False, width=110, explicit_start=True)


def shortened(node: Any) -> Any:
    """A manifest in which long strings are given by their size and hash."""
    if isinstance(node, dict):
        return {key: shortened(value) for key, value in node.items()}
    if isinstance(node, list):
        return [shortened(value) for value in node]
    if isinstance(node, str) and len(node) > LONG:
        return f"({len(node)} characters, SHA-256 {hashlib.sha256(node.encode()).hexdigest()[:16]})"
    return node


if __name__ == "__main__":
    texts = {golden(name): text(name) for name in SETS}
    sys.exit(generated.main("tests.chart.golden", "Render the golden manifests.", texts))
