"""Write what each image installs: the part of the lock that its extra needs, one file per image.

The images install these lists with `--no-deps`, so they hold what the tests ran with and nothing of the
development tools. What vLLM asks for and the lock leaves out (torchvision, triton and the like) stays out
here too. PyTorch has a file of its own, because it comes from an index of its own.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
PROJECT = "rephrase-operator"
ELSEWHERE = {PROJECT, "torch"}
"""Installed by other means than the lock, and followed for what they need."""
IMAGES = {"operator": "operator", "worker": "worker-common", "worker-cpu": "worker-cpu"}
"""The extra that each image needs. The CUDA worker's base image brings vLLM itself."""

MARKERS = {"python_version": "3.11", "python_full_version": "3.11.0", "platform_machine": "x86_64"}
"""The machines that images run on: the lists must not depend on the one that they are made on."""

HEADER = """\
# What the image `{image}` installs, with --no-deps: the extra `{extra}` as far as lock.txt holds it.
# Made by scripts/image_locks.py; a test compares.
"""


def main() -> int:
    """Write the files; with --check only say which differ, and fail if any does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a file is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in image_locks().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{path.name} {'is out of date: run scripts/image_locks.py' if check else 'written'}")
        if not check:
            path.write_text(image_locks()[path])
    return 1 if check and stale else 0


def image_locks() -> dict[Path, str]:
    """The content that each file should have.

    Raises SystemExit when a locked package is not installed: the environment is not the lock's then.
    """
    locked = read_lock((REQUIREMENTS / "lock.txt").read_text())
    return {
        REQUIREMENTS / f"{image}.txt": HEADER.format(image=image, extra=extra)
        + "".join(f"{locked[name]}\n" for name in sorted(closure(extra, locked)))
        for image, extra in IMAGES.items()
    }


def read_lock(text: str) -> dict[str, str]:
    """Lines of a lock (`name==version`) by normalized name."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {canonicalize_name(Requirement(line).name): line for line in lines if line}


def closure(extra: str, locked: dict[str, str]) -> set[str]:
    """Names of the locked packages that the project's extra needs, directly or not."""
    found: set[str] = set()
    waiting = [Requirement(f"{PROJECT}[{extra}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen or name not in locked.keys() | ELSEWHERE:
            continue
        seen.add((name, frozenset(requirement.extras)))
        if name in locked:
            found.add(name)
        waiting += needed(name, requirement.extras)
    return found


def needed(name: str, extras: set[str]) -> list[Requirement]:
    """What an installed distribution asks for with these extras, in an image."""
    try:
        asked = [Requirement(line) for line in requires(name) or ()]
    except PackageNotFoundError as error:
        raise SystemExit(f"{name} is locked but not installed: run `make setup`") from error
    return [
        requirement
        for requirement in asked
        if requirement.marker is None
        or any(requirement.marker.evaluate({**MARKERS, "extra": extra}) for extra in extras | {""})
    ]


if __name__ == "__main__":
    sys.exit(main())
