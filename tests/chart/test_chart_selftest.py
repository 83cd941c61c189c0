"""`helm test`: where it runs, with which rights, and with the installer's settings."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_operator.cli import parser
from rephrase_operator.pod_defaults import PodDefaults
from tests.chart.helm import Manifest, of_kind, render, the


def hook(values: Manifest | None = None) -> list[Manifest]:
    """What `helm test` makes."""
    found = render(values)
    return [one for one in found if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]


def told(manifests: list[Manifest]) -> Any:
    """What the command understands of its arguments."""
    (container,) = the(manifests, "Pod")["spec"]["containers"]
    assert container["command"][0] == "rephrase"
    return parser().parse_args([*container["command"][1:], *container["args"]])


@pytest.mark.parametrize(
    ("values", "namespace"),
    [
        ({}, "rephrase"),
        ({"watchNamespaces": ["team-a", "team-b"]}, "team-a"),
        ({"watchNamespaces": ["team-a"], "test": {"namespace": "team-b"}}, "team-b"),
    ],
    ids=["everywhere", "watched", "chosen"],
)
def test_the_job_runs_where_the_operator_looks_and_the_pod_beside_the_operator(
    values: Manifest, namespace: str
) -> None:
    manifests = hook(values)
    assert told(manifests).namespace == namespace
    for kind, where in (("Role", namespace), ("RoleBinding", namespace), ("Pod", "rephrase")):
        assert the(manifests, kind)["metadata"]["namespace"] == where
    (subject,) = the(manifests, "RoleBinding")["subjects"]
    assert subject["name"] == the(manifests, "Pod")["spec"]["serviceAccountName"]
    assert (subject["namespace"], subject["name"]) == (
        "rephrase",
        the(manifests, "ServiceAccount")["metadata"]["name"],
    )


def test_the_pod_comes_last_and_all_is_removed_but_a_pod_that_failed() -> None:
    for manifest in hook({"networkPolicy": {"enabled": True}}):
        notes = manifest["metadata"]["annotations"]
        assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        assert ("helm.sh/hook-weight" in notes) == (manifest["kind"] != "Pod")


def test_what_can_be_limited_to_the_objects_of_the_test_is() -> None:
    for rule in the(hook(), "Role")["rules"]:
        unlimited = {"create", "list", "watch"}
        if rule["resources"] == ["rephrasejobs"]:
            unlimited |= {"get"}  # Beside list it gives nothing more.
        assert rule.get("resourceNames") or set(rule["verbs"]) <= unlimited


def test_the_commands_settings_are_the_installers() -> None:
    worker = {"image": {"repository": "r.example/w", "tag": "2"}, "imagePullSecrets": [{"name": "registry"}]}
    test = {"storageClassName": "fast", "storageSize": "2Gi", "timeoutSeconds": 60}
    given = told(hook({"worker": worker, "test": test}))
    assert given.worker_image == "r.example/w:2"
    assert PodDefaults.model_validate_json(given.pod_defaults).image_pull_secrets[0].name == "registry"
    assert (given.storage_class, given.storage_size, given.timeout) == ("fast", "2Gi", 60.0)


def test_no_service_and_no_budget_takes_the_pod_for_an_operator() -> None:
    manifests = render({"replicas": 2})
    labels = the([one for one in manifests if one["kind"] == "Pod"], "Pod")["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget"):
        spec = the(manifests, kind)["spec"]["selector"]
        assert not spec.get("matchLabels", spec).items() <= labels.items()


def test_with_network_policies_the_pod_reaches_the_api_server() -> None:
    manifests = hook({"networkPolicy": {"enabled": True}})
    policy, pod = the(manifests, "NetworkPolicy"), the(manifests, "Pod")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["spec"]["egress"]
    assert not of_kind(hook(), "NetworkPolicy")
