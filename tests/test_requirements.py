"""The locks are complete: what a locked package asks for is locked too, or left out on purpose.

Both are installed with --no-deps, so nothing else would notice a package that is missing.
"""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.requirements import IMAGES, PROJECT, ROOT, excluded, locked, needed_by


def test_the_lock_holds_what_development_needs_and_nothing_else() -> None:
    assert locked("lock").keys() == needed_by("dev").keys() - excluded()


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_installs_what_its_extra_needs_at_the_locks_versions(image: str) -> None:
    assert locked(image).keys() == needed_by(IMAGES[image]).keys() - excluded()
    assert locked(image).items() <= locked("lock").items()


def test_locked_versions_are_those_that_packages_ask_for() -> None:
    versions = locked("lock") | {"torch": "2.13.0+cpu"}
    conflicts = []
    for name in [*versions, PROJECT]:
        for line in metadata.requires(name) or ():
            asked = Requirement(line)
            version = versions.get(canonicalize_name(asked.name))
            applies = asked.marker is None or asked.marker.evaluate({"extra": ""})
            if applies and version and not asked.specifier.contains(version, prereleases=True):
                conflicts.append(f"{name} asks for {line}, locked is {version}")
    assert conflicts == []


def test_everything_that_is_left_out_is_asked_for_by_somebody() -> None:
    assert excluded() <= needed_by("dev").keys()


def test_no_cuda_build_is_admitted() -> None:
    assert not [name for name in locked("lock") if name.startswith(("torch", "triton", "nvidia-", "cuda-"))]
    assert locked("torch") == {"torch": "2.13.0+cpu"}
    assert (ROOT / "pyproject.toml").read_text().count("torch==2.13.0+cpu") == 1
