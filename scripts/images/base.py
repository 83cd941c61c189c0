"""A base image made on this machine, for where no registry can be reached: `make images BASE=local`.

It is Debian's own Python of the release that the official image is based on, unpacked by debootstrap. It
also has this machine's certificates and pip's settings, without which pip in a build may reach no package
index. So it is good for a proof, and not for publishing.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from scripts.images.engines import Engine, ImagesError, run

TAG = "localhost/rephrase-base:bookworm"
PACKAGES = ("python3", "python3-pip", "python3-venv", "libpython3-dev", "ca-certificates")
"""What the official image has too. torch.compile needs Python's headers."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_UNUSED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


def make(engine: Engine) -> str:
    """Make the base image unless it is there already; its name. Raises ImagesError without debootstrap."""
    if engine.has(TAG):
        return TAG
    if not shutil.which("debootstrap"):
        raise ImagesError(
            "debootstrap, which makes the base image, is not installed: apt install debootstrap"
        )
    with tempfile.TemporaryDirectory(prefix="base-") as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(root))
        prepare(root, pip_settings())
        run("tar", "--create", "--one-file-system", "--file", str(archive), "--directory", str(root), ".")
        engine.import_base(archive, TAG)
    return TAG


def prepare(root: Path, settings: dict[str, str]) -> None:
    """Make a fresh root file system look like the official image, and give it this machine's way to
    packages.
    """
    for name in _UNUSED:
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    config = configparser.ConfigParser(interpolation=None)
    config["global"] = settings
    with (root / "etc/pip.conf").open("w") as file:
        config.write(file)


def pip_settings() -> dict[str, str]:
    """This machine's settings of pip that say where packages are."""
    done = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=False)
    return settings_of(done.stdout)


def settings_of(listed: str) -> dict[str, str]:
    """The settings of `pip config list` that say where packages are; the environment's win, as in pip."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        where, _, key = name.rpartition(".")
        if key in ("index-url", "extra-index-url", "find-links", "cert") and (
            where == ":env:" or key not in found
        ):
            found[key] = value.strip("'\"")
    return found


def folders_of(settings: dict[str, str]) -> list[Path]:
    """The folders of this machine that the settings name: a build has to see them too.

    The pages of an index link to files beside the index, so its parent folder counts.
    """
    found = set()
    for key, value in settings.items():
        for word in value.split() if key != "cert" else ():
            path = Path(urlsplit(word).path)
            if word.startswith(("/", "file:")) and path.is_dir():
                found.add(path.parent if key.endswith("index-url") else path)
    return sorted(found - {Path("/")})
