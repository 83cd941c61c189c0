"""Write the software bill of materials of the image that this runs in, as CycloneDX 1.6 JSON, to stdout.

It lists every Python distribution, the interpreter, and every Debian or Ubuntu package. The image's own
interpreter runs it while the image is built, with nothing but the standard library: tools that do this would
have to be installed into each image first, and cyclonedx-py knows no Debian packages. The same content gives
the same bytes.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import sysconfig
import uuid
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

PROJECT = "rephrase-operator"
LONGEST_LICENSE = 80
"""Characters. A longer `License` field is the text of a license and not its name."""

Component = dict[str, Any]


def main() -> None:
    """Print the bill of materials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the image")
    name = parser.parse_args().name
    release = platform.freedesktop_os_release()
    status = Path("/var/lib/dpkg/status")
    packages = status.read_text() if status.exists() else ""
    distributions = metadata.distributions(path=search_path())
    components = [interpreter(), *python_components(distributions), *system_components(packages, release)]
    bill = bill_of_materials(name, metadata.version(PROJECT), components)
    json.dump(bill, sys.stdout, indent=1)


def search_path() -> list[str]:
    """Where distributions lie: this environment's folders, and those of the Python that it is based on."""
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    return [*sys.path, sysconfig.get_path("purelib", vars=base)]


def bill_of_materials(name: str, version: str, components: Iterable[Component]) -> dict[str, Any]:
    """The document. A component that is found twice is listed once."""
    listed = {component["bom-ref"]: component for component in components}
    ordered = [listed[reference] for reference in sorted(listed)]
    content = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([name, version, ordered], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{content}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": name, "name": name, "version": version},
        },
        "components": ordered,
    }


def interpreter() -> Component:
    """Python itself, which some images build from source."""
    version = platform.python_version()
    return component("application", "python", version, f"pkg:generic/python@{version}")


def python_components(distributions: Iterable[metadata.Distribution]) -> Iterator[Component]:
    """A component for each Python distribution, with what it says about its license."""
    for distribution in distributions:
        about = distribution.metadata
        name, version = about["Name"], about["Version"]
        key = re.sub(r"[-_.]+", "-", name).lower()
        found = component("library", name, version, f"pkg:pypi/{key}@{quote(version)}")
        if licenses := licenses_of(about):
            found["licenses"] = licenses
        yield found


def licenses_of(about: metadata.PackageMetadata) -> list[dict[str, Any]]:
    """The license expression, or else the classifiers, or else the field of free text if it is a name."""
    if expression := next(iter(about.get_all("License-Expression") or ()), ""):
        return [{"expression": expression}]
    classifiers = about.get_all("Classifier") or []
    names = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    names = [name for name in names if name != "OSI Approved"]
    text = next(iter(about.get_all("License") or ()), "").strip()
    if not names and text and "\n" not in text and len(text) <= LONGEST_LICENSE:
        names = [text]
    return [{"license": {"name": name}} for name in names]


def system_components(status: str, release: dict[str, str]) -> Iterator[Component]:
    """A component for each installed package of dpkg's status file. `release` is that of /etc/os-release."""
    vendor = release.get("ID", "debian")
    distribution = f"{vendor}-{release.get('VERSION_ID', '')}".rstrip("-")
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            qualifiers = f"arch={fields['Architecture']}&distro={distribution}"
            yield component(
                "library", name, version, f"pkg:deb/{vendor}/{name}@{quote(version)}?{qualifiers}"
            )


def component(kind: str, name: str, version: str, purl: str) -> Component:
    """A component of one type, known by its package URL."""
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main()
