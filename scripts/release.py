"""What a release needs of this tree: one version everywhere, its notes, its base images, and the chart.

`.github/workflows/release.yaml` calls it. It uses the standard library alone.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "rephrase-operator"


class ReleaseError(Exception):
    """The tree can't be released as it is; the message says what to change."""


def main() -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check and prepare a release.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("check", "refuse a tag that differs from a version"), ("notes", "print its notes")):
        commands.add_parser(name, help=text).add_argument("tag", help="such as v1.2.3")
    commands.add_parser("bases", help="print the base images with their digests, as NAME=IMAGE")
    chart = commands.add_parser("chart", help="package the chart")
    chart.add_argument("--registry", default="", help="where its images are, such as ghcr.io/OWNER")
    chart.add_argument("--out", type=Path, required=True, help="folder to write the package to")
    arguments = parser.parse_args()
    try:
        if arguments.command == "check":
            check(arguments.tag, ROOT)
        elif arguments.command == "notes":
            print(notes(arguments.tag, (ROOT / "CHANGELOG.md").read_text()))
        elif arguments.command == "bases":
            for name, image in base_images((ROOT / "Dockerfile").read_text()).items():
                print(f"{name}={image}@{digest_of(image)}")
        else:
            package_chart(arguments.registry, arguments.out)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def check(tag: str, root: Path) -> None:
    """Raises ReleaseError unless every place in the tree has the tag's version, and the notes are final."""
    version = version_of(tag)
    other = {place: found for place, found in versions(root).items() if found != {version}}
    if other:
        places = "\n".join(
            f"  {place}: {', '.join(sorted(found)) or 'none'}" for place, found in other.items()
        )
        raise ReleaseError(f"the tag {tag} means version {version}, but the tree has\n{places}")
    notes(tag, (root / "CHANGELOG.md").read_text())


def version_of(tag: str) -> str:
    """The version that a tag names. Raises ReleaseError for a tag that names none."""
    found = re.fullmatch(r"v(\d+\.\d+\.\d+(?:-?[0-9A-Za-z.]+)?)", tag)
    if found is None:
        raise ReleaseError(f"the tag {tag} is not like v1.2.3")
    return found[1]


def versions(root: Path) -> dict[str, set[str]]:
    """The versions that the tree names, by place."""
    chart = (root / "charts" / "rephrase-operator" / "Chart.yaml").read_text()
    return {
        "pyproject.toml": {tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]},
        "Chart.yaml, version": set(re.findall(r"^version: (\S+)$", chart, re.MULTILINE)),
        "Chart.yaml, appVersion": {
            found.strip("\"'") for found in re.findall(r"^appVersion: (\S+)$", chart, re.MULTILINE)
        },
        "Dockerfile": set(
            re.findall(r"^ARG VERSION=(\S+)$", (root / "Dockerfile").read_text(), re.MULTILINE)
        ),
    }


def notes(tag: str, changelog: str) -> str:
    """A version's section of the changelog. Raises ReleaseError if there is none or it has no date."""
    version = version_of(tag)
    heading = rf"^## {re.escape(version)} \((?P<date>[^)]*)\)\n(?P<text>.*?)(?=^## |\Z)"
    found = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no section `## {version} (DATE)`")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"]):
        raise ReleaseError(
            f"CHANGELOG.md calls {version} `{found['date']}`: write its date, such as 2026-01-31"
        )
    return found["text"].strip()


def base_images(dockerfile: str) -> dict[str, str]:
    """The images that the Dockerfile builds on, by the build argument that names them."""
    return dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", dockerfile, re.MULTILINE))


def digest_of(image: str) -> str:
    """The digest that an image's tag has in its registry now. Raises ReleaseError if that can't be found."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    digest = done.stdout.strip()
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ReleaseError(f"{image} could not be looked up: {done.stderr.strip() or digest}")
    return digest


def package_chart(registry: str, out: Path) -> None:
    """Package the chart. With a registry, the images there become its defaults."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, CHART.name)
        shutil.copytree(CHART, copy, symlinks=False)
        if registry:
            values = copy / "values.yaml"
            values.write_text(with_registry(values.read_text(), registry))
        done = subprocess.run(
            ["helm", "package", str(copy), "--destination", str(out)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ReleaseError(f"helm package: {done.stderr.strip()}")


def with_registry(values: str, registry: str) -> str:
    """The chart's values, with the registry before the name of each image."""
    for name in ("rephrase-operator", "rephrase-worker"):
        changed, count = re.subn(
            rf"^( +repository: ){name}$", rf"\g<1>{registry}/{name}", values, flags=re.MULTILINE
        )
        if count != 1:
            raise ReleaseError(f"values.yaml has {count} lines `repository: {name}`, and one was expected")
        values = changed
    return values


if __name__ == "__main__":
    sys.exit(main())
