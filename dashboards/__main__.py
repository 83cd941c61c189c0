"""Writes the dashboards' JSON with `--write`; with `--check` only says which files are out of date."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import fleet, job

FOLDER = Path(__file__).resolve().parent.parent / "charts" / "rephrase-operator" / "dashboards"


def files() -> dict[Path, str]:
    """The text that each file should have."""
    built = (fleet.dashboard(), job.dashboard())
    made = [json.loads(JSONEncoder().encode(each.build())) for each in built]
    return {
        FOLDER / f"{each['uid']}.json": json.dumps(each, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        for each in made
    }


def stale() -> list[str]:
    """Names of files that differ from what the code says, or that it does not write."""
    wanted = files()
    differing = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    left_over = set(FOLDER.glob("*")) - wanted.keys()
    return sorted(path.name for path in (*differing, *left_over))


def main() -> int:
    """Entry point; returns 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description="Write the Grafana dashboards.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail when a file is out of date")
    if parser.parse_args().write:
        FOLDER.mkdir(exist_ok=True)
        for path, text in files().items():
            path.write_text(text, encoding="utf-8")
        return 0
    for name in (found := stale()):
        print(
            f"charts/rephrase-operator/dashboards/{name} differs from the code: run `make generate`",
            file=sys.stderr,
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
