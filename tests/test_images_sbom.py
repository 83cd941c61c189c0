"""The bill of materials that each image carries."""

from __future__ import annotations

import json
import subprocess
import sys
from email.message import Message
from importlib import metadata
from typing import Any
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts.images import sbom
from tests.requirements import ROOT, locked

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 Version: not a field, but a line of the description

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1:1
"""


def about(**fields: str) -> Any:
    message = Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


def test_the_script_lists_every_distribution_of_the_environment() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "images" / "sbom.py"), "rephrase-worker-cpu"]
    bill = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    listed = {part["purl"] for part in bill["components"]}
    assert {f"pkg:pypi/{name}@{quote(version)}" for name, version in locked("lock").items()} <= listed
    assert bill["metadata"]["component"]["version"] == metadata.version("rephrase-operator")


def test_the_bill_follows_the_schema_and_the_same_content_gives_the_same_bytes() -> None:
    parts = [
        sbom.interpreter(),
        *sbom.python_components(map(metadata.distribution, ("pydantic", "kopf", "PyYAML"))),
        *sbom.system_components(STATUS, {"ID": "debian", "VERSION_ID": "12"}),
    ]
    first = json.dumps(sbom.bill_of_materials("rephrase-operator", "1.0", parts))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(first) is None
    again = json.dumps(sbom.bill_of_materials("rephrase-operator", "1.0", parts[::-1] + parts[:1]))
    assert again == first
    other = sbom.bill_of_materials("rephrase-operator", "1.0", parts[1:])
    assert other["serialNumber"] != json.loads(first)["serialNumber"]


def test_installed_debian_packages_are_listed_by_package_url() -> None:
    (found,) = sbom.system_components(STATUS, {"ID": "debian", "VERSION_ID": "12"})
    assert found["version"] == "2.36-9+deb12u10"
    assert found["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12"


def test_a_license_is_an_expression_or_else_a_name_and_never_a_text() -> None:
    assert sbom.licenses_of(about(License_Expression="MIT")) == [{"expression": "MIT"}]
    classified = about(License="long", Classifier="License :: OSI Approved :: BSD License")
    assert sbom.licenses_of(classified) == [{"license": {"name": "BSD License"}}]
    assert sbom.licenses_of(about(License="Apache 2.0")) == [{"license": {"name": "Apache 2.0"}}]
    assert sbom.licenses_of(about(License="Permission is hereby granted\nto anyone")) == []
    assert sbom.licenses_of(about(Name="unknown")) == []
