"""Files that are made from the code: `--write` writes them, `--check` says which are out of date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def stale(wanted: Mapping[Path, str]) -> list[Path]:
    """Files that differ from what the code says."""
    return [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]


def main(module: str, description: str, wanted: Mapping[Path, str], left_over: Iterable[Path] = ()) -> int:
    """Entry point of a module that makes files; returns 1 when `--check` finds a difference.

    `left_over` are files that lie where only made ones may.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail when a file is out of date")
    if parser.parse_args().write:
        for path, text in wanted.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    outdated = [*stale(wanted), *left_over]
    for path in outdated:
        print(f"{path.relative_to(ROOT)} differs from the code: run `make generate`", file=sys.stderr)
    return 1 if outdated else 0
