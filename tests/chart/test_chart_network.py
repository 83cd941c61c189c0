"""NetworkPolicies: what operator and workers need gets through, and nothing that the installer closed."""

from __future__ import annotations

import pytest

from rephrase_worker.spec import WORKER_PORT
from tests.chart import golden
from tests.chart.helm import Manifest, hooks, of_kind, render, the
from tests.chart.networks import Peer, passes

API = Peer(address="10.0.0.1")
ELSEWHERE = Peer(address="203.0.113.9")
STORE = Peer(address="10.1.2.3")
DNS = Peer("kube-system", {"k8s-app": "kube-dns"})
NODE_DNS = Peer(address="169.254.20.10")
PROMETHEUS = Peer("monitoring", {"app": "prometheus"})
STRANGER = Peer("team-a", {"app": "notebook"})


def operator(manifests: list[Manifest]) -> Peer:
    """The operator's pod as the chart makes it."""
    template = the(manifests, "Deployment")["spec"]["template"]
    (only,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in only["ports"]}
    return Peer("rephrase", template["metadata"]["labels"], ports=ports)


def worker(namespace: str) -> Peer:
    """A pod of a job."""
    return Peer(namespace, {"rephrase.dev/job": "books", "rephrase.dev/step": "generate"})


@pytest.fixture(scope="module")
def everywhere() -> list[Manifest]:
    """For an operator that serves all namespaces, with nothing narrowed."""
    return render({"networkPolicy": {"enabled": True, "workers": {"namespaces": ["team-a"]}}})


@pytest.fixture(scope="module")
def narrowed() -> list[Manifest]:
    """For one that serves team-a, with everything narrowed."""
    return list(golden.rendered("everything"))


def test_there_are_no_policies_unless_asked_for() -> None:
    assert not of_kind(golden.rendered("default"), "NetworkPolicy")


def test_the_operator_reaches_what_it_needs_and_nothing_else(everywhere: list[Manifest]) -> None:
    me = operator(everywhere)
    for port in (443, 6443):
        assert passes(everywhere, me, API, port)
    for server in (DNS, NODE_DNS):
        assert passes(everywhere, me, server, 53, "UDP")
        assert passes(everywhere, me, server, 53, "TCP")
    for namespace in ("team-a", "team-b"):
        assert passes(everywhere, me, worker(namespace), WORKER_PORT)
        assert not passes(everywhere, me, worker(namespace), 22)
    assert not passes(everywhere, me, ELSEWHERE, 80)
    assert not passes(everywhere, me, STRANGER, WORKER_PORT)


def test_the_operators_reach_can_be_narrowed(narrowed: list[Manifest]) -> None:
    me = operator(narrowed)
    assert passes(narrowed, me, API, 443)
    assert not passes(narrowed, me, ELSEWHERE, 443)
    assert passes(narrowed, me, worker("team-a"), WORKER_PORT)
    assert not passes(narrowed, me, worker("team-b"), WORKER_PORT)


def test_only_the_metrics_of_the_operator_can_be_reached(
    everywhere: list[Manifest], narrowed: list[Manifest]
) -> None:
    for manifests, port in ((everywhere, 9090), (narrowed, 9000)):
        assert passes(manifests, PROMETHEUS, operator(manifests), port)
        assert not passes(manifests, PROMETHEUS, operator(manifests), 22)
    assert passes(everywhere, STRANGER, operator(everywhere), 9090)
    assert not passes(narrowed, STRANGER, operator(narrowed), 9000)


def test_workers_are_reached_by_the_operator_and_by_prometheus(
    everywhere: list[Manifest], narrowed: list[Manifest]
) -> None:
    for manifests in (everywhere, narrowed):
        assert passes(manifests, operator(manifests), worker("team-a"), WORKER_PORT)
        assert passes(manifests, PROMETHEUS, worker("team-a"), WORKER_PORT)
        assert not passes(manifests, PROMETHEUS, worker("team-a"), 22)
    assert not passes(narrowed, STRANGER, worker("team-a"), WORKER_PORT)


def test_workers_reach_everything_until_they_are_narrowed(
    everywhere: list[Manifest], narrowed: list[Manifest]
) -> None:
    assert passes(everywhere, worker("team-a"), ELSEWHERE, 443)
    assert passes(narrowed, worker("team-a"), STORE, 443)
    assert passes(narrowed, worker("team-a"), NODE_DNS, 53, "UDP")
    assert not passes(narrowed, worker("team-a"), STORE, 80)
    assert not passes(narrowed, worker("team-a"), ELSEWHERE, 443)


def test_the_pod_that_upgrades_crds_reaches_the_api_server(narrowed: list[Manifest]) -> None:
    labels = the(hooks(narrowed, "pre-upgrade"), "Job")["spec"]["template"]["metadata"]["labels"]
    pod = Peer("rephrase", labels)
    selected = [
        policy
        for policy in of_kind(narrowed, "NetworkPolicy")
        if policy["spec"]["podSelector"].get("matchLabels", {"": ""}).items() <= labels.items()
    ]
    assert selected, "with a default that denies everything, it could not reach the API server"
    assert passes(narrowed, pod, API, 443)
    assert not passes(narrowed, pod, ELSEWHERE, 443)


def test_the_namespaces_of_workers_are_those_that_are_served_or_named() -> None:
    def namespaces(**values: object) -> list[str]:
        manifests = render({"watchNamespaces": ["a", "b"], "networkPolicy": {"enabled": True, **values}})
        return [
            policy["metadata"]["namespace"]
            for policy in of_kind(manifests, "NetworkPolicy")
            if policy["metadata"]["name"].endswith("-workers")
        ]

    assert namespaces() == ["a", "b"]
    assert namespaces(workers={"namespaces": ["a"]}) == ["a"]
