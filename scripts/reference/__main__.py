"""Writes docs/reference/ and what else is made from the same sources with `--write`; with `--check` only says
what is out of date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.reference import commands, metrics, profiles, rephrasejob, values

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"


def pages() -> dict[Path, str]:
    """The text that each generated file should have."""
    return {
        FOLDER / "rephrasejob.md": rephrasejob.page(),
        FOLDER / "metrics.md": metrics.page(),
        FOLDER / "commands.md": commands.page(),
        FOLDER / "profiles.md": profiles.page(),
        FOLDER / "values.md": values.page(),
        values.SCHEMA: values.schema_text(),
    }


def stale() -> list[Path]:
    """Files that differ from what the code says."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Entry point; returns 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m scripts.reference", description="Write docs/reference/.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the pages")
    action.add_argument("--check", action="store_true", help="fail when a page is out of date")
    if parser.parse_args().write:
        FOLDER.mkdir(exist_ok=True)
        for path, text in pages().items():
            path.write_text(text)
        return 0
    outdated = stale()
    for path in outdated:
        print(f"{path.relative_to(ROOT)} differs from the code: run `make generate`", file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
