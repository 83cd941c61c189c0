"""`make images`: build `operator` and `worker-cpu`, start them, rephrase ten documents, and print their
sizes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from scripts.images import base, sizes
from scripts.images.engines import ROOT, Engine, ImagesError, choose
from scripts.images.proof import prove

TARGETS = {"operator": "rephrase-operator", "worker-cpu": "rephrase-worker-cpu"}
"""What can be built and started on a machine without a GPU, and the name of its image."""

console = Console(highlight=False)


def main() -> int:
    """Build, start and measure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.images", description=__doc__)
    parser.add_argument("--engine", default="", help="docker or buildah; the first that works unless given")
    parser.add_argument("--base", default="", help="local: make the base image here; else the name of one")
    parser.add_argument("--no-proof", action="store_true", help="build and measure only")
    parser.add_argument("--no-sizes", action="store_true", help="don't measure; compressing takes a minute")
    arguments = parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/] {text}")

    try:
        engine = choose(arguments.engine, local=arguments.base == "local")
    except ImagesError as error:
        console.print(f"images: {error}", markup=False)
        return 1
    try:
        images = build(engine, arguments.base, say)
        if not arguments.no_proof:
            # What the containers' users have written can be removed by root only.
            with tempfile.TemporaryDirectory(prefix="images-proof-", ignore_cleanup_errors=True) as folder:
                prove(engine, images, Path(folder), say)
        if not arguments.no_sizes:
            say("compressing the layers as a registry would have them")
            console.print(sizes.table({name: sizes.layers(engine, image) for name, image in images.items()}))
    except ImagesError as error:
        console.print(f"images: {error}", markup=False)
        return 1
    finally:
        engine.close()
    say("done")
    return 0


def build(engine: Engine, wanted_base: str, say: Callable[[str], None]) -> dict[str, str]:
    """Build the images; their names by target."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    arguments = {"VERSION": version, "REVISION": revision.stdout.strip()}
    shared: list[Path] = []
    if wanted_base == "local":
        say("making a base image with debootstrap, unless there is one")
        arguments["PYTHON_IMAGE"] = base.make(engine)
        shared = base.folders_of(base.pip_settings())
    elif wanted_base:
        arguments["PYTHON_IMAGE"] = wanted_base
    images = {}
    for target, name in TARGETS.items():
        images[target] = f"localhost/{name}:{version}"
        say(f"building {images[target]} with {engine.name}")
        try:
            engine.build(target, images[target], arguments, shared)
        except ImagesError as error:
            if wanted_base or "registry" not in str(error):
                raise
            hint = "Where no registry can be reached, `make images BASE=local` makes the base image here."
            raise ImagesError(f"{error}\n{hint}") from error
    return images


if __name__ == "__main__":
    sys.exit(main())
