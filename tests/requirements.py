"""Reads requirements/*.txt and what the packages in them ask for."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "rephrase-operator"
IMAGES = {"operator": "operator", "worker": "worker-common", "worker-cpu": "worker-cpu"}
"""The extra that each image needs. The CUDA worker's base image brings vLLM itself."""

# The machines that images run on, whatever this one is.
MARKERS = {"python_version": "3.11", "python_full_version": "3.11.0", "platform_machine": "x86_64"}


def locked(name: str) -> dict[str, str]:
    """Versions by package, of requirements/<name>.txt."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def excluded() -> set[str]:
    """Packages that are left out on purpose."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return set(project["tool"]["uv"]["exclude-dependencies"])


def needed_by(extra: str) -> dict[str, set[str]]:
    """Everything that the project's extra needs, directly or not, and who asks for it; PyTorch apart.

    What is excluded is named but not followed: its own needs are nobody's.
    """
    asked_by: dict[str, set[str]] = {}
    waiting = [(PROJECT, frozenset({extra}))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name in excluded():
            continue
        seen.add((name, extras))
        for requirement in _requirements(name, extras):
            asked = canonicalize_name(requirement.name)
            asked_by.setdefault(asked, set()).add(name)
            waiting.append((asked, frozenset(requirement.extras)))
    return {name: who for name, who in asked_by.items() if name not in (PROJECT, "torch")}


def _requirements(name: str, extras: frozenset[str]) -> list[Requirement]:
    asked = [Requirement(line) for line in metadata.requires(name) or ()]
    return [
        requirement
        for requirement in asked
        if requirement.marker is None
        or any(requirement.marker.evaluate({**MARKERS, "extra": extra}) for extra in extras | {""})
    ]
