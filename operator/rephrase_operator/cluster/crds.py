"""Brings the cluster's CRD up to that of this version.

Helm creates the CRDs of a chart when it installs it, and never changes them. So the chart runs this before an
upgrade, in a Job with an account of its own: the operator itself may not change CRDs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rephrase_operator.api import crd
from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube

TRIES = 5
"""Writes in a row that another writer may be faster at."""


async def upgrade_crd(connection: Kube) -> str:
    """Make the cluster's CRD that of this version, and say in a sentence what was done.

    A CRD of a newer version stays as it is: of several releases in a cluster, and after a downgrade, the
    newest CRD serves all. Raises ApiError, and aiohttp's errors when the API server does not answer.
    """
    wanted = crd.build()
    name, version = wanted["metadata"]["name"], crd.version_of(wanted)
    for left in reversed(range(TRIES)):
        try:
            found = await connection.request("GET", kube.crds(name))
        except ApiError as error:
            if error.status != 404:
                raise
            return f"The cluster has no CRD {name} to upgrade: whoever installs the chart creates it."
        before = crd.version_of(found)
        if _numbers(before) > _numbers(version):
            return f"The CRD {name} stays that of version {before}, which is newer than {version}."
        try:
            await connection.request("PUT", kube.crds(name), body=_changed(found, wanted))
        except ApiError as error:
            if error.status != 409 or not left:
                raise
        else:
            return f"The CRD {name} is that of version {version} now. It was {before or 'older'} before."
    raise AssertionError("unreachable")


def _changed(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The CRD in the cluster with the wanted specification. Labels and annotations of others stay."""
    annotations = (found["metadata"].get("annotations") or {}) | wanted["metadata"]["annotations"]
    metadata = {**found["metadata"], "annotations": annotations}
    return {**found, "metadata": metadata, "spec": wanted["spec"]}


def _numbers(version: str) -> tuple[int, ...]:
    """A version's numbers, for comparing; a CRD without a version is older than any other."""
    return tuple(map(int, re.findall(r"\d+", version)))
