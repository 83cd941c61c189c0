"""The upgrade of the CRD before the chart is upgraded."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_operator.api import crd
from rephrase_operator.cluster import crds, kube
from rephrase_operator.cluster.kube import ApiError
from tests.operator.fake_kube import FakeKube

PATH = kube.crds("rephrasejobs.rephrase.dev")
OURS = crd.build()


def cluster_with(version: str | None) -> Any:
    """A cluster whose CRD is from another version; None: from the first one, which did not say."""
    connection = FakeKube()
    metadata = {"name": OURS["metadata"]["name"], "labels": {"team": "data"}, "uid": "kept"}
    annotations = {"example.com/a": "b"} | ({} if version is None else {crd.VERSION_ANNOTATION: version})
    found = OURS | {"metadata": metadata | {"annotations": annotations}, "spec": {"old": True}}
    connection.store(PATH, found | {"status": {"storedVersions": ["v1alpha1"]}})
    return connection


@pytest.mark.parametrize("version", [None, "0.0.9", "0.1.0"])
async def test_an_older_crd_is_replaced_and_what_others_wrote_on_it_stays(version: str | None) -> None:
    connection = cluster_with(version)
    said = await crds.upgrade_crd(connection)
    found = connection.objects[PATH]
    assert found["spec"] == OURS["spec"]
    assert found["status"] == {"storedVersions": ["v1alpha1"]}
    assert (found["metadata"]["uid"], found["metadata"]["labels"]) == ("kept", {"team": "data"})
    assert found["metadata"]["annotations"] == {"example.com/a": "b"} | OURS["metadata"]["annotations"]
    assert said.startswith(f"The CRD rephrasejobs.rephrase.dev is that of version {crd.version_of(OURS)} now")


@pytest.mark.parametrize("version", ["0.1.1", "0.10.0", "1.0.0"])
async def test_a_newer_crd_stays(version: str) -> None:
    connection = cluster_with(version)
    assert f"stays that of version {version}" in await crds.upgrade_crd(connection)
    assert connection.objects[PATH]["spec"] == {"old": True}


async def test_an_absent_crd_is_not_created() -> None:
    connection: Any = FakeKube()
    assert "no CRD rephrasejobs.rephrase.dev to upgrade" in await crds.upgrade_crd(connection)
    assert not connection.objects


async def test_another_writer_may_be_faster_but_not_for_ever() -> None:
    connection = cluster_with(None)
    connection.fail["PUT"] = [ApiError(409, "Conflict", "changed")] * (crds.TRIES - 1)
    await crds.upgrade_crd(connection)
    assert connection.objects[PATH]["spec"] == OURS["spec"]
    connection.fail["PUT"] = [ApiError(409, "Conflict", "changed")] * crds.TRIES
    with pytest.raises(ApiError):
        await crds.upgrade_crd(connection)
