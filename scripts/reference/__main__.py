"""Writes docs/reference/ and what else is made from the same sources with `--write`; with `--check` only says
what is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts import generated
from scripts.reference import commands, metrics, profiles, rephrasejob, values

FOLDER = generated.ROOT / "docs" / "reference"


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


if __name__ == "__main__":
    sys.exit(generated.main("scripts.reference", "Write docs/reference/ and the values' schema.", pages()))
