"""Runs programs for the demo, and says what went wrong with them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "rephrase-operator"
EXAMPLE = ROOT / "examples" / "rephrasejob-demo.yaml"
NAME = "demo"
"""Of the RephraseJob."""

console = Console(highlight=False)


class DemoError(Exception):
    """The demo can't go on; the message says why."""


def command(*arguments: str, stdin: str | None = None, **environment: str) -> str:
    """Run a program and return its output. Raises DemoError with the program's error if it fails."""
    result = subprocess.run(
        arguments, env=os.environ | environment, input=stdin, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise DemoError(f"{' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout
