"""The distribution holds what an installed operator reads, and nothing that only development needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        ("prompts", "rephrase_operator/prompts"),
        ("crds", "rephrase_operator/crds"),
        ("profiles", "rephrase_worker/profiles/files"),
    ],
)
def test_the_wheel_carries_what_is_read_at_run_time(wheel_names: set[str], folder: str, inside: str) -> None:
    files = [file.name for file in (ROOT / folder).iterdir()]
    assert files
    assert {f"{inside}/{name}" for name in files} <= wheel_names


def test_the_wheel_holds_two_packages_and_nothing_else(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert tops == {"rephrase_operator", "rephrase_worker", "rephrase_operator-0.1.0.dist-info"}


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
