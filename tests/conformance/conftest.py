"""The cluster under test: the local one, or a real one.

KUBEBUILDER_ASSETS starts a real API server (see `envtest`); REPHRASE_REAL_CLUSTER=1 takes the one that
KUBECONFIG names, which has to have no node that pods could go to. On a real one leave xdist off.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcluster import Cluster, running
from tests.conformance.envtest import real_api_server

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
REAL = bool(ASSETS) or os.environ.get("REPHRASE_REAL_CLUSTER") == "1"
BACKOFF = "0.2"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as stack:
        if not REAL:
            yield stack.enter_context(running(directory, "--backoff", BACKOFF))
            return
        kubeconfig = Path(os.environ.get("KUBECONFIG", ""))
        if ASSETS:
            kubeconfig = stack.enter_context(real_api_server(Path(ASSETS), directory))
        stack.enter_context(node_of(kubeconfig, directory))
        yield Cluster.of(kubeconfig)


@contextlib.contextmanager
def node_of(kubeconfig: Path, directory: Path) -> Iterator[None]:
    """A process kubelet for a real API server."""
    name = f"conformance-{uuid.uuid4().hex[:6]}"
    command = [sys.executable, "-m", "localcluster", "kubelet", "--kubeconfig", str(kubeconfig)]
    command += ["--dir", str(directory), "--node", name]
    cluster = Cluster.of(kubeconfig)
    try:
        with (directory / "kubelet.log").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        with process:
            try:
                yield
            finally:
                process.terminate()
    finally:
        cluster.kubectl("delete", f"node/{name}", "--ignore-not-found")
        cluster.kubectl("delete", f"lease/{name}", "-n", "kube-node-lease", "--ignore-not-found")


@pytest.fixture(scope="session")
def token(cluster: Cluster) -> Iterator[str]:
    """Of an administrator; kubeconfigs of real clusters may hold a certificate instead."""
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "roleRef": role}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": "default"},
    }
    cluster.apply(account, {**binding, "metadata": {"name": name}, "subjects": [subject]})
    yield cluster.kubectl("create", "token", name, "-n", "default").stdout.strip()
    cluster.kubectl("delete", f"clusterrolebinding/{name}")
    cluster.kubectl("delete", f"serviceaccount/{name}", "-n", "default")


@pytest.fixture
def api(cluster: Cluster, token: str) -> Iterator["Api"]:
    """An administrator of everything."""
    with Api(cluster, token) as found:
        yield found


@pytest.fixture(scope="session")
def namespaces(cluster: Cluster, token: str) -> Iterator[list[str]]:
    """Namespaces that are on their way out. The session ends when they are gone."""
    names: list[str] = []
    yield names
    with Api(cluster, token) as api:

        def left() -> set[str]:
            found = api("GET", "/api/v1/namespaces").json()["items"]
            return {each["metadata"]["name"] for each in found} & set(names)

        wait_for(lambda: not left(), seconds=120)


@pytest.fixture
def namespace(api: "Api", namespaces: list[str]) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    path = "/api/v1/namespaces"
    assert (
        api("POST", path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).status_code
        == 201
    )
    wait_for(lambda: api("GET", f"{path}/{name}/serviceaccounts/default").status_code == 200)
    try:
        yield name
    finally:
        namespaces.append(name)
        end_namespace(api, name)


def end_namespace(api: "Api", name: str) -> None:
    """Begin to delete a namespace, Jobs first: one that wants a replacement for a pod would hold it."""
    jobs = f"/apis/batch/v1/namespaces/{name}/jobs"
    for job in api("GET", jobs).json()["items"]:
        api("DELETE", f"{jobs}/{job['metadata']['name']}", {"propagationPolicy": "Background"})
    answer = api("DELETE", f"/api/v1/namespaces/{name}")
    assert answer.status_code in (200, 202, 404, 409), answer.text


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What the condition returns once that is true: for states that no single watch shows."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.05)
    return result


class Api:
    """Plain HTTP with a token."""

    def __init__(self, cluster: Cluster, token: str) -> None:
        self.client = httpx.Client(
            base_url=cluster.url, verify=False, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def __call__(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> Any:
        headers = {"Content-Type": kind, "Accept": "application/json"}
        content = None if body is None else json.dumps(body)
        return self.client.request(method, path, content=content, headers=headers, params=query)

    def watch(
        self, path: str, enough: Callable[[list[tuple[str, Any]]], Any], **query: str
    ) -> list[tuple[str, Any]]:
        """Types and objects of a watch's events, until there are enough of them."""
        events: list[tuple[str, Any]] = []
        params = {"watch": "1", "timeoutSeconds": "60", **query}
        with self.client.stream("GET", path, params=params) as response:
            for line in response.iter_lines():
                event = json.loads(line)
                events.append((event["type"], event["object"]))
                if enough(events):
                    return events
        raise AssertionError(f"the watch of {path} ended too early: {events}")


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "x-kubernetes-validations": [
        {
            "rule": "!has(oldSelf.status) || !has(oldSelf.status.started)"
            " || self.spec.source == oldSelf.spec.source",
            "message": "spec.source is immutable once the widget has started",
        },
        {"rule": "self.metadata.name.size() <= 40", "message": "the name is too long"},
    ],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["source"],
            "x-kubernetes-validations": [
                {"rule": "self.low <= self.high", "message": "low must not exceed high", "fieldPath": ".low"}
            ],
            "properties": {
                "source": {"type": "string", "description": "Where from.", "minLength": 1, "maxLength": 10},
                "replicas": {"type": "integer", "minimum": 0, "maximum": 9, "default": 1},
                "mode": {"type": "string", "enum": ["slow", "fast"], "default": "slow"},
                "low": {"type": "integer", "default": 0},
                "high": {"type": "integer", "default": 5},
                "code": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                "ratio": {"type": "number", "maximum": 1},
                "names": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 5}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "nested": {
                    "type": "object",
                    "default": {},
                    "properties": {"x": {"type": "integer", "default": 7}},
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "amount": {"x-kubernetes-int-or-string": True},
                "fixed": {
                    "type": "string",
                    "maxLength": 10,
                    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is fixed"}],
                },
                "parts": {
                    "type": "array",
                    "maxItems": 5,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string", "maxLength": 10},
                            "size": {"type": "integer"},
                        },
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "phase": {"type": "string"},
                "started": {"type": "boolean"},
                "active": {"type": "integer"},
                "conditions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                    },
                },
            },
        },
    },
}


class Widgets:
    """A custom resource of this test session's own."""

    def __init__(self, group: str) -> None:
        self.group, self.api_version = group, f"{group}/v1"
        self.crd = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"widgets.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "shortNames": [f"w{group[:5]}"]},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": SCHEMA},
                        "subresources": {
                            "status": {},
                            "scale": {
                                "specReplicasPath": ".spec.replicas",
                                "statusReplicasPath": ".status.active",
                            },
                        },
                        "additionalPrinterColumns": [
                            {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                            {
                                "name": "Ready",
                                "type": "string",
                                "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                            },
                            {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
                            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                        ],
                    }
                ],
            },
        }

    def make(self, namespace: str, name: str = "one", **spec: Any) -> dict[str, Any]:
        meta = {"name": name, "namespace": namespace}
        return {
            "apiVersion": self.api_version,
            "kind": "Widget",
            "metadata": meta,
            "spec": {"source": "here", **spec},
        }

    def path(self, namespace: str, name: str = "") -> str:
        return f"/apis/{self.api_version}/namespaces/{namespace}/widgets/{name}".rstrip("/")


@pytest.fixture(scope="session")
def widgets(cluster: Cluster) -> Iterator[Widgets]:
    found = Widgets(f"x{uuid.uuid4().hex[:6]}.example.dev")
    cluster.apply(found.crd)
    cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{found.group}")
    yield found
    cluster.kubectl("delete", "crd", f"widgets.{found.group}", "--wait=false")
