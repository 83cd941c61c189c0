"""Programs that set-up installs beside Python packages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

BIN = Path(__file__).resolve().parent.parent / ".cache" / "bin"


def program(name: str) -> str:
    """Where a program of set-up is. Without it the test fails where set-up could have got it, and is skipped
    elsewhere.
    """
    found = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if found is None and shutil.which("apt-get"):
        pytest.fail(f"{name} is not in {BIN}: `make setup` gets it, and says why where it can't")
    if found is None:
        pytest.skip(f"{name} is not installed: put it on PATH (https://prometheus.io/download)")
    return found
