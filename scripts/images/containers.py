"""A container as plain data, and what an OCI runtime is told about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HIDDEN = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"]
_FIXED = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine in a container."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True)
class Container:
    """One container as a strict cluster runs it, without any capability, on the host's network."""

    name: str
    image: str
    command: tuple[str, ...]
    env: dict[str, str]
    mounts: tuple[Mount, ...]
    user: int
    """User id. Its group is 0, as on OpenShift."""
    groups: tuple[int, ...] = ()
    """Further groups: a pod's fsGroup."""


def docker_command(container: Container) -> list[str]:
    """The `docker run` of a container, in the foreground."""
    words = ["docker", "run", "--rm", "--name", container.name, "--network", "host", "--read-only"]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", f"{container.user}:0"]
    for group in container.groups:
        words += ["--group-add", str(group)]
    for name, value in container.env.items():
        words += ["--env", f"{name}={value}"]
    for mount in container.mounts:
        mode = "ro" if mount.read_only else "rw"
        words += ["--volume", f"{mount.source}:{mount.target}:{mode}"]
    return [*words, "--entrypoint", container.command[0], container.image, *container.command[1:]]


def runtime_config(container: Container, root: Path, image_env: list[str]) -> dict[str, Any]:
    """The config.json of a container for runc or crun, on a root folder that it may not change."""
    inside = dict(entry.split("=", 1) for entry in image_env) | container.env
    shared = [
        _mount("/proc", "proc"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755"),
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666"),
        _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=64m"),
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
    ]
    bound = [
        {
            "destination": mount.target,
            "type": "bind",
            "source": str(mount.source),
            "options": ["rbind", "ro" if mount.read_only else "rw"],
        }
        for mount in container.mounts
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": container.user, "gid": 0, "additionalGids": list(container.groups)},
            "args": list(container.command),
            "env": [f"{name}={value}" for name, value in inside.items()],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": shared + bound,
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": _HIDDEN,
            "readonlyPaths": _FIXED,
        },
    }


def _mount(target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}
