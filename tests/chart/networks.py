"""What NetworkPolicies let through, as the Kubernetes documentation says."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chart.helm import Manifest, of_kind


@dataclass(frozen=True)
class Peer:
    """A pod, or with an empty namespace something outside of the cluster."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = "10.9.9.9"
    ports: Mapping[str, int] = field(default_factory=dict)
    """Its named ports."""


def passes(
    manifests: Sequence[Manifest], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection gets out of its source and into its target."""
    policies = of_kind(manifests, "NetworkPolicy")
    return _allowed(policies, "Egress", source, target, target, port, protocol) and _allowed(
        policies, "Ingress", target, source, target, port, protocol
    )


def _allowed(
    policies: Sequence[Manifest], way: str, pod: Peer, other: Peer, target: Peer, port: int, protocol: str
) -> bool:
    here = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == pod.namespace
        and _selects(policy["spec"]["podSelector"], pod.labels)
        and way in policy["spec"]["policyTypes"]
    ]
    sides = {"Egress": "to", "Ingress": "from"}
    rules = [rule for spec in here for rule in spec.get(way.lower(), ())]
    return not here or any(
        _reaches(rule.get(sides[way]), other, pod.namespace)
        and _fits(rule.get("ports"), target, port, protocol)
        for rule in rules
    )


def _fits(ports: Sequence[Any] | None, target: Peer, port: int, protocol: str) -> bool:
    return not ports or any(
        each.get("protocol", "TCP") == protocol and target.ports.get(each["port"], each["port"]) == port
        for each in ports
    )


def _reaches(peers: Sequence[Any] | None, other: Peer, own_namespace: str) -> bool:
    return not peers or any(_is(peer, other, own_namespace) for peer in peers)


def _is(peer: Mapping[str, Any], other: Peer, own_namespace: str) -> bool:
    if "ipBlock" in peer:
        return ipaddress.ip_address(other.address) in ipaddress.ip_network(peer["ipBlock"]["cidr"])
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        names = {"kubernetes.io/metadata.name": other.namespace}
        if not _selects(peer["namespaceSelector"], names):
            return False
    elif other.namespace != own_namespace:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    for each in selector.get("matchExpressions", ()):
        if each["operator"] == "Exists" and each["key"] not in labels:
            return False
        if each["operator"] == "In" and labels.get(each["key"]) not in each["values"]:
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
