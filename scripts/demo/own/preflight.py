"""Whether the demo can work on a cluster, before it changes anything there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.demo.cluster import Cluster
from scripts.demo.own.manifests import MARK
from scripts.demo.shell import DemoError, command

OLDEST = (1, 33)
"""Kubernetes; docs/install.md says why."""

ARCHITECTURE = "kubernetes.io/arch"
NEEDED = (
    ("get", "customresourcedefinitions"),
    ("create", "namespaces"),
    ("create", "roles.rbac.authorization.k8s.io"),
    ("list", "nodes"),
    ("list", "storageclasses.storage.k8s.io"),
    ("list", "deployments.apps"),
)
"""What the user has to be allowed to do; creating the CRD comes to it where there is none."""

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
CRD = "customresourcedefinitions/rephrasejobs.rephrase.dev"
SECONDS = 15
"""Longest wait for the API server's first answer."""


@dataclass(frozen=True)
class Ground:
    """What is known of a cluster on which the demo can work."""

    context: str
    version: str
    node_selector: Mapping[str, str]
    """Labels of nodes that can run the images; empty where all can."""
    storage_class: str
    makes_crd: bool
    """The demo brings the CRD: there is none, or only its own of an earlier run."""


def check(cluster: Cluster, storage_class: str | None) -> Ground:
    """Find out whether the demo can work. Raises DemoError, with what to do."""
    if not cluster.kubeconfig.is_file():
        raise DemoError(f"KUBECONFIG={cluster.kubeconfig}: there is no such file")
    context = command("kubectl", "config", "current-context", KUBECONFIG=str(cluster.kubeconfig)).strip()
    version = server_version(cluster, context)
    for verb, resource in NEEDED:
        may(cluster, context, verb, resource)
    namespace = cluster.find("namespace", cluster.namespace)
    if namespace and MARK not in namespace["metadata"].get("labels", {}):
        raise DemoError(
            f"the namespace {cluster.namespace} exists and is not the demo's: delete or rename it"
        )
    crd = cluster.find(CRD)
    makes_crd = crd is None or MARK in crd["metadata"].get("labels", {})
    if makes_crd:
        may(cluster, context, "create", "customresourcedefinitions")
    operators = cluster.get(
        "deployments", "--all-namespaces", "--selector=app.kubernetes.io/name=rephrase-operator"
    )
    refuse_second_operator(operators["items"], cluster.namespace)
    return Ground(
        context,
        version,
        node_selector(cluster.get("nodes")["items"]),
        chosen_class(cluster.get("storageclasses")["items"], storage_class),
        makes_crd,
    )


def server_version(cluster: Cluster, context: str) -> str:
    """The cluster's version. Raises DemoError when it does not answer, or is too old."""
    words = ("version", f"--request-timeout={SECONDS}s", "-o", "json")
    try:
        found = json.loads(cluster.kubectl(*words))["serverVersion"]
    except (DemoError, KeyError) as error:
        raise DemoError(
            f"the cluster of context {context} does not answer: {error}\n"
            f"Try: kubectl --kubeconfig {cluster.kubeconfig} get nodes"
        ) from error
    number = int(found["major"]), int("".join(filter(str.isdigit, found["minor"])))
    if number < OLDEST:
        raise DemoError(
            f"the cluster runs Kubernetes {found['gitVersion']}, and "
            f"{'.'.join(map(str, OLDEST))} or newer is needed"
        )
    version: str = found["gitVersion"]
    return version


def may(cluster: Cluster, context: str, verb: str, resource: str) -> None:
    """Raise DemoError unless the user may do this."""
    asked = subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "-n", cluster.namespace]
        + ["auth", "can-i", verb, resource, "--all-namespaces"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.stdout.strip() != "yes":
        raise DemoError(
            f"the user of context {context} may not {verb} {resource}, which the installation needs; "
            f"use a kubeconfig of a cluster administrator {asked.stderr.strip()}".rstrip()
        )


def refuse_second_operator(deployments: Sequence[Mapping[str, Any]], namespace: str) -> None:
    """Raise DemoError where another operator would work on the demo's job as well."""
    for found in deployments:
        meta = found["metadata"]
        if meta["namespace"] != namespace:
            raise DemoError(
                f"an operator is installed already (deployment {meta['name']} in namespace "
                f"{meta['namespace']}), and both would work on the demo's job; "
                "apply examples/rephrasejob-minimal.yaml instead"
            )


def node_selector(nodes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Which nodes can run the images, which are made for x86-64. Raises DemoError where there is none."""
    if not nodes:
        raise DemoError("the cluster has no nodes")
    found = {node["status"]["nodeInfo"]["architecture"] for node in nodes}
    fitting = {"amd64", "x86_64"}
    if not found & fitting:
        raise DemoError(
            f"all nodes are {', '.join(sorted(found))}, and the worker-cpu image is made for amd64 (x86-64)"
        )
    return {} if found <= fitting else {ARCHITECTURE: "amd64"}


def chosen_class(classes: Sequence[Mapping[str, Any]], wanted: str | None) -> str:
    """Name of the StorageClass for the demo's claim. Raises DemoError where there is none."""
    names = [one["metadata"]["name"] for one in classes]
    listed = ", ".join(names) or "it has none at all"
    if wanted:
        if wanted not in names:
            raise DemoError(f"STORAGE_CLASS={wanted}: the cluster has no such StorageClass ({listed})")
        return wanted
    for one in classes:
        if one["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true":
            name: str = one["metadata"]["name"]
            return name
    raise DemoError(f"the cluster has no default StorageClass: give one with STORAGE_CLASS=... ({listed})")
