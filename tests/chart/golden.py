"""The golden manifests: what the chart renders for a handful of value sets, kept to be looked at in reviews.

`python -m tests.chart.golden --write` (`make generate` runs it) renders them again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.chart.helm import CHART, ROOT, Manifest, helm, load

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


def main() -> None:
    """Entry point; fails when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.chart.golden", description="Golden manifests.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="render them")
    action.add_argument("--check", action="store_true", help="fail when one is out of date")
    texts = {golden(name): text(name) for name in SETS}
    if parser.parse_args().write:
        for path, rendered_text in texts.items():
            path.write_text(rendered_text)
        return
    stale = [path for path, new in texts.items() if not path.exists() or path.read_text() != new]
    if stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"The chart does not render {names}: run `make generate` and look at the difference.")


if __name__ == "__main__":
    main()
