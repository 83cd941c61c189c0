"""Writes the dashboards' JSON with `--write`; with `--check` only says which files are out of date."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import fleet, job
from scripts import generated

FOLDER = generated.ROOT / "charts" / "rephrase-operator" / "dashboards"


def files() -> dict[Path, str]:
    """The text that each file should have."""
    built = (fleet.dashboard(), job.dashboard())
    made = [json.loads(JSONEncoder().encode(each.build())) for each in built]
    return {
        FOLDER / f"{each['uid']}.json": json.dumps(each, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        for each in made
    }


def left_over() -> list[Path]:
    """Files beside them, which Grafana's sidecar would load too."""
    return sorted(set(FOLDER.glob("*")) - files().keys())


def stale() -> list[str]:
    """Names of files that differ from what the code says, or that it does not write."""
    return sorted(path.name for path in (*generated.stale(files()), *left_over()))


if __name__ == "__main__":
    sys.exit(generated.main("dashboards", "Write the Grafana dashboards.", files(), left_over()))
