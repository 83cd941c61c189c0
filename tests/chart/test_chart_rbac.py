"""Permissions: what the operator needs, in the namespaces that it watches, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_operator.api import crd
from rephrase_operator.settings import LEASE_NAME
from tests.chart import golden
from tests.chart.helm import ROOT, Manifest, hooks, lasting, of_kind, render, the

Rule = tuple[str, str, str, str]
"""API group, resource, object name, verb."""


def rules(role: Manifest) -> set[Rule]:
    """A role's rules, one permission each."""
    return {
        (group, resource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def bound(manifests: list[Manifest]) -> list[tuple[str, Manifest]]:
    """The roles bound to the operator's account, with the namespace that each counts in (empty: all)."""
    account = the(manifests, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    manifests = lasting(manifests)
    found = []
    for binding in of_kind(manifests, "RoleBinding") + of_kind(manifests, "ClusterRoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "rephrase"}]
        ref = binding["roleRef"]
        namespace = binding["metadata"].get("namespace", "")
        (role,) = (
            role
            for role in of_kind(manifests, ref["kind"])
            if role["metadata"]["name"] == ref["name"] and role["metadata"].get("namespace", "") == namespace
        )
        found.append((namespace, role))
    return found


@pytest.fixture(scope="module")
def cluster_wide() -> list[Manifest]:
    return list(golden.rendered("default"))


@pytest.fixture(scope="module")
def namespaced() -> list[Manifest]:
    return render({"watchNamespaces": ["team-a", "rephrase"]})


def test_the_permissions_are_those_of_the_documentation(cluster_wide: list[Manifest]) -> None:
    documented: dict[str, set[Rule]] = {"watched": set(), "own": set(), "upgrade": set()}
    for line in (ROOT / "docs" / "install.md").read_text().splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0] in documented:
            where, resource, verbs, _ = cells
            resource, _, group = resource.partition(".")
            resource, _, name = (resource + (f".{group}" if group else "")).partition(" ")
            plural, _, group = resource.partition(".")
            documented[where] |= {(group, plural, name, verb.strip()) for verb in verbs.split(",")}
    roles = dict(bound(cluster_wide))
    upgrade = rules(the(hooks(cluster_wide, "pre-upgrade"), "ClusterRole"))
    assert documented == {"watched": rules(roles[""]), "own": rules(roles["rephrase"]), "upgrade": upgrade}


def test_no_permission_is_a_wildcard_or_reaches_secrets_or_into_pods(cluster_wide: list[Manifest]) -> None:
    for role in of_kind(cluster_wide, "ClusterRole") + of_kind(cluster_wide, "Role"):
        for group, resource, _, verb in rules(role):
            assert "*" not in (group, resource, verb)
            assert resource != "secrets"
            assert not resource.startswith("pods/")
            assert verb not in ("impersonate", "escalate", "bind")
            assert group != "rbac.authorization.k8s.io"


def test_with_namespaces_the_operator_has_no_cluster_wide_permission(
    cluster_wide: list[Manifest], namespaced: list[Manifest]
) -> None:
    assert not of_kind(lasting(namespaced), "ClusterRoleBinding")
    assert {role["metadata"]["name"] for role in of_kind(lasting(namespaced), "ClusterRole")} == {
        "rephrase:test-rephrase-operator-edit",
        "rephrase:test-rephrase-operator-view",
    }
    (everywhere,) = (rules(role) for namespace, role in bound(cluster_wide) if not namespace)
    by_namespace: dict[str, list[set[Rule]]] = {}
    for namespace, role in bound(namespaced):
        by_namespace.setdefault(namespace, []).append(rules(role))
    lease = {rule for _, role in bound(namespaced) for rule in rules(role) if rule[1] == "leases"}
    assert by_namespace == {"team-a": [everywhere], "rephrase": [everywhere, lease]}


def test_the_lease_can_be_held_in_the_operators_own_namespace_only(cluster_wide: list[Manifest]) -> None:
    for namespace, role in bound(cluster_wide):
        assert any(resource == "leases" for _, resource, _, _ in rules(role)) == (namespace == "rephrase")


def test_the_lease_that_may_be_held_is_the_operators(cluster_wide: list[Manifest]) -> None:
    names = {rule[2] for _, role in bound(cluster_wide) for rule in rules(role) if rule[3] == "update"}
    assert names == {"", LEASE_NAME}


def test_an_account_of_the_installers_own_is_bound_and_not_created() -> None:
    manifests = render({"serviceAccount": {"create": False, "name": "mine"}})
    assert not of_kind(lasting(manifests), "ServiceAccount")
    assert len(bound(manifests)) == 2


def test_a_token_is_mounted_only_where_the_pod_asks_for_it(cluster_wide: list[Manifest]) -> None:
    pod: dict[str, Any] = the(cluster_wide, "Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is True
    assert the(lasting(cluster_wide), "ServiceAccount")["automountServiceAccountToken"] is False


def test_users_who_may_edit_or_view_may_do_so_with_rephrasejobs(cluster_wide: list[Manifest]) -> None:
    by_name = {role["metadata"]["name"]: role for role in of_kind(cluster_wide, "ClusterRole")}
    view, edit = (
        by_name["rephrase:test-rephrase-operator-view"],
        by_name["rephrase:test-rephrase-operator-edit"],
    )
    assert {verb for _, _, _, verb in rules(view)} == {"get", "list", "watch"}
    assert ("rephrase.dev", "rephrasejobs/scale", "", "patch") in rules(edit)
    assert {group for group, _, _, _ in rules(view) | rules(edit)} == {"rephrase.dev"}
    assert not any(resource == "rephrasejobs/status" for _, resource, _, _ in rules(edit))
    assert not of_kind(lasting(render({"aggregateRoles": False})), "ClusterRole")[1:]


def test_only_the_upgrade_may_change_the_crd_and_no_other_one(cluster_wide: list[Manifest]) -> None:
    job, role = (the(hooks(cluster_wide, "pre-upgrade"), kind) for kind in ("Job", "ClusterRole"))
    assert {(name, verb) for _, _, name, verb in rules(role)} == {
        (crd.build()["metadata"]["name"], verb) for verb in ("get", "update")
    }
    account = {"kind": "ServiceAccount", "name": "test-rephrase-operator-crds", "namespace": "rephrase"}
    assert the(hooks(cluster_wide, "pre-upgrade"), "ClusterRoleBinding")["subjects"] == [account]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    for manifest in hooks(cluster_wide, "pre-upgrade"):
        assert "hook-succeeded" in manifest["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_the_account_is_there_before_the_job_that_upgrades_crds(cluster_wide: list[Manifest]) -> None:
    weights = {
        manifest["kind"]: int(manifest["metadata"]["annotations"].get("helm.sh/hook-weight", 0))
        for manifest in hooks(cluster_wide, "pre-upgrade")
    }
    assert weights.pop("Job") > max(weights.values())


def test_the_pod_that_upgrades_crds_is_not_taken_for_an_operator(cluster_wide: list[Manifest]) -> None:
    labels = the(hooks(cluster_wide, "pre-upgrade"), "Job")["spec"]["template"]["metadata"]["labels"]
    assert not the(cluster_wide, "Service")["spec"]["selector"].items() <= labels.items()


def test_crds_need_not_be_upgraded_by_the_chart() -> None:
    assert not of_kind(render({"crds": {"upgrade": False}}), "Job")
