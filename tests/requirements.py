"""Reads requirements/*.txt and what the packages in them ask for."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "rephrase-operator"
IMAGES = {"operator": "operator", "worker": "worker-common", "worker-cpu": "worker-cpu"}
"""The extra that each image needs. The CUDA worker's base image brings vLLM itself."""

PYTHONS = ("3.11", "3.12")
"""Python of the images that are built on Python's own, and of vLLM's image for CUDA."""


def locked(name: str) -> dict[str, str]:
    """Versions by package, of requirements/<name>.txt."""
    pins = re.findall(r"^([^\s#=]+)==(\S+)", _text(name), re.MULTILINE)
    return dict(pins)


def hashes(name: str) -> dict[str, list[str]]:
    """SHA-256 of the files that may be installed, by package."""
    blocks = re.split(r"^(?=[^\s#])", _text(name), flags=re.MULTILINE)[1:]
    return {block.split("==")[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})\b", block) for block in blocks}


def _text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def excluded() -> set[str]:
    """Packages that are left out on purpose."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return set(project["tool"]["uv"]["exclude-dependencies"])


def needed_by(extra: str, python: str = PYTHONS[0]) -> dict[str, set[str]]:
    """Everything that the project's extra needs, directly or not, and who asks for it; PyTorch apart.

    `python` is that of the machine which it is installed on, a PC with Linux, whatever this one is. What is
    excluded is named but not followed: its own needs are nobody's.
    """
    asked_by: dict[str, set[str]] = {}
    waiting = [(PROJECT, frozenset({extra}))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name in excluded():
            continue
        seen.add((name, extras))
        for requirement in _requirements(name, extras, python):
            asked = canonicalize_name(requirement.name)
            asked_by.setdefault(asked, set()).add(name)
            waiting.append((asked, frozenset(requirement.extras)))
    return {name: who for name, who in asked_by.items() if name not in (PROJECT, "torch")}


def _requirements(name: str, extras: frozenset[str], python: str) -> list[Requirement]:
    asked = [Requirement(line) for line in metadata.requires(name) or ()]
    machine = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": "x86_64"}
    return [
        requirement
        for requirement in asked
        if requirement.marker is None
        or any(requirement.marker.evaluate({**machine, "extra": extra}) for extra in extras | {""})
    ]
