"""Docker and buildah: what builds the images, starts them and saves them.

buildah starts nothing as a cluster would (its `run` has no read-only root), so runc or crun does, on the
files of the image.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from scripts.images.containers import Container, docker_command, runtime_config

ROOT = Path(__file__).resolve().parents[2]


class ImagesError(Exception):
    """The images can't be built or started; the message says what to do."""


class Engine(Protocol):
    """What `make images` needs of a builder."""

    name: str

    def build(self, target: str, tag: str, arguments: Mapping[str, str], shared: Sequence[Path]) -> None:
        """Build a target of the Dockerfile. Its steps see the folders `shared` at the same paths."""

    def has(self, image: str) -> bool:
        """Whether an image is there."""

    def import_base(self, archive: Path, tag: str) -> None:
        """Make an image of a root file system."""

    def start(self, container: Container) -> list[str]:
        """The command line that runs a container in the foreground and passes signals and exit code on."""

    def save(self, image: str, archive: Path) -> None:
        """Write an image as an archive as `docker save` does, its layers not compressed."""

    def close(self) -> None:
        """Remove the containers that are left."""


def choose(name: str, *, local: bool) -> Engine:
    """The named engine, or else the first that works. Raises ImagesError if there is none."""
    wanted = [name] if name else (["buildah"] if local else ["docker", "buildah"])
    reasons = []
    for each in wanted:
        if each == "docker" and local:
            reasons.append("docker can't show a build the folders of a local package index: use buildah")
        elif each not in ("docker", "buildah"):
            reasons.append(f"{each} is not supported: ENGINE is docker or buildah")
        elif why := _missing(each):
            reasons.append(why)
        else:
            return Docker() if each == "docker" else Buildah()
    raise ImagesError("; ".join(reasons))


def _missing(name: str) -> str:
    """Why an engine can't be used, and what to do about it; empty if it can."""
    if name == "docker":
        if not shutil.which("docker"):
            return "docker is not installed (on Debian: apt install docker.io)"
        answers = subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
        return "" if answers else "docker's daemon does not answer (`docker version` says why)"
    if not shutil.which("buildah"):
        return "buildah is not installed (on Debian: apt install buildah runc)"
    if not (shutil.which("runc") or shutil.which("crun")):
        return "buildah is there, but nothing that starts containers (on Debian: apt install runc)"
    return "" if os.geteuid() == 0 else "buildah is used as root only: run this as root, or use docker"


def run(*words: str, show: bool = False) -> str:
    """Run a command in the checkout; its output. Raises ImagesError with the end of what it said."""
    done = subprocess.run(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if show else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + (done.stderr or "")).splitlines()[-15:])
        raise ImagesError(f"`{' '.join(words[:3])} ...` failed:\n{said}")
    return done.stdout


class Docker:
    """The Docker daemon, with BuildKit."""

    name = "docker"

    def build(self, target: str, tag: str, arguments: Mapping[str, str], shared: Sequence[Path]) -> None:
        """Build a target. Docker shares no folders: `choose` refuses it where they are needed."""
        assert not shared
        words = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        run("docker", "build", "--target", target, "--tag", tag, *words, ".", show=True)

    def has(self, image: str) -> bool:
        """Whether an image is there."""
        command = ["docker", "image", "inspect", image]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def import_base(self, archive: Path, tag: str) -> None:
        """Make an image of a root file system."""
        run("docker", "import", str(archive), tag)

    def start(self, container: Container) -> list[str]:
        """`docker run` proxies signals and exits as the container does."""
        return docker_command(container)

    def save(self, image: str, archive: Path) -> None:
        """Write an image as an archive."""
        run("docker", "save", "--output", str(archive), image)

    def close(self) -> None:
        """Nothing is left: containers are removed when they end."""


class Buildah:
    """buildah, and runc or crun."""

    name = "buildah"

    def __init__(self) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="images-"))
        self._runtime = ["runc"] if shutil.which("runc") else ["crun", "--cgroup-manager", "disabled"]
        self._roots: dict[str, tuple[str, Path, list[str]]] = {}
        """By image: the working container, its root folder, and the image's environment."""
        self._started: list[str] = []

    def build(self, target: str, tag: str, arguments: Mapping[str, str], shared: Sequence[Path]) -> None:
        """Build a target. Steps run in a chroot: a machine that is itself a container may allow no more."""
        words = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        words += [word for folder in shared for word in ("--volume", f"{folder}:{folder}:ro")]
        fixed = ["--layers", "--isolation", "chroot", "--network", "host", "--pull=missing"]
        run("buildah", "build", *fixed, "--target", target, "--tag", tag, *words, ".", show=True)

    def has(self, image: str) -> bool:
        """Whether an image is there."""
        command = ["buildah", "inspect", "--type", "image", image]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def import_base(self, archive: Path, tag: str) -> None:
        """Make an image of a root file system."""
        working = run("buildah", "from", "scratch").strip()
        try:
            run("buildah", "add", working, str(archive), "/")
            run("buildah", "commit", working, tag)
        finally:
            run("buildah", "rm", working)

    def start(self, container: Container) -> list[str]:
        """`runc run` proxies signals and exits as the container does."""
        _, root, image_env = self._root(container.image)
        bundle = self._scratch / container.name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(runtime_config(container, root, image_env)))
        self._started.append(container.name)
        return [*self._runtime, "run", "--bundle", str(bundle), container.name]

    def _root(self, image: str) -> tuple[str, Path, list[str]]:
        if image not in self._roots:
            working = run("buildah", "from", "--pull-never", image).strip()
            described = json.loads(run("buildah", "inspect", "--type", "image", image))
            env: list[str] = described["OCIv1"]["config"].get("Env", [])
            self._roots[image] = working, Path(run("buildah", "mount", working).strip()), env
        return self._roots[image]

    def save(self, image: str, archive: Path) -> None:
        """Write an image as an archive."""
        run("buildah", "push", "--disable-compression", image, f"docker-archive:{archive}")

    def close(self) -> None:
        """Remove the containers that are left, and the working containers whose files they had."""
        for name in self._started:
            subprocess.run([*self._runtime, "delete", "--force", name], capture_output=True, check=False)
        for working, _, _ in self._roots.values():
            run("buildah", "rm", working)
        shutil.rmtree(self._scratch, ignore_errors=True)
