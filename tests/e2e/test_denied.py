"""What the chart's permissions do not allow: asked of the API server itself, with the operator's token."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.e2e.harness import Stage, free_port

CORE, BATCH, JOBS = "/api/v1", "/apis/batch/v1", "/apis/rephrase.dev/v1alpha1"
LEASES, RBAC = "/apis/coordination.k8s.io/v1", "/apis/rbac.authorization.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Call(NamedTuple):
    """A request; in its path {served}, {home} and {other} stand for namespaces."""

    method: str
    path: str
    resource: str
    """As the API server names it when it refuses."""
    real_only: bool = False
    """The local cluster does not have it."""


NEVER = [
    *(
        Call("GET", f"{CORE}/{where}secrets{name}", "secrets")
        for where in ("", "namespaces/{served}/")
        for name in ("", "?watch=true")
    ),
    Call("GET", f"{CORE}/namespaces/{{served}}/secrets/token", "secrets"),
    Call("GET", f"{CORE}/namespaces/{{home}}/secrets/token", "secrets"),
    Call("POST", f"{CORE}/namespaces/{{served}}/secrets", "secrets"),
    Call("POST", f"{CORE}/namespaces/{{served}}/pods", "pods"),
    Call("GET", f"{CORE}/namespaces/{{served}}/pods/p", "pods"),
    Call("PATCH", f"{CORE}/namespaces/{{served}}/pods/p", "pods"),
    Call("DELETE", f"{CORE}/namespaces/{{served}}/pods/p", "pods"),
    Call("GET", f"{CORE}/namespaces/{{served}}/pods/p/log", "pods/log"),
    Call("POST", f"{CORE}/namespaces/{{served}}/pods/p/exec", "pods/exec"),
    Call("POST", f"{CORE}/namespaces/{{served}}/pods/p/attach", "pods/attach"),
    Call("POST", f"{CORE}/namespaces/{{served}}/pods/p/portforward", "pods/portforward"),
    Call("POST", f"{CORE}/namespaces/{{served}}/pods/p/eviction", "pods/eviction"),
    Call("PATCH", f"{CORE}/namespaces/{{served}}/pods/p/ephemeralcontainers", "pods/ephemeralcontainers"),
    Call("GET", f"{CORE}/namespaces/{{served}}/configmaps", "configmaps"),
    Call("GET", f"{CORE}/namespaces/{{served}}/configmaps?watch=true", "configmaps"),
    Call("DELETE", f"{CORE}/namespaces/{{served}}/configmaps/c", "configmaps"),
    Call("GET", f"{CORE}/namespaces/{{served}}/events", "events"),
    Call("GET", f"{CORE}/namespaces/{{served}}/persistentvolumeclaims", "persistentvolumeclaims"),
    Call("GET", f"{CORE}/namespaces", "namespaces"),
    Call("GET", f"{CORE}/namespaces/{{served}}", "namespaces"),
    Call("DELETE", f"{CORE}/namespaces/{{served}}", "namespaces"),
    Call("GET", f"{CORE}/nodes", "nodes"),
    Call("GET", f"{CORE}/nodes/n/proxy/logs", "nodes/proxy", real_only=True),
    Call("POST", f"{CORE}/namespaces/{{home}}/serviceaccounts", "serviceaccounts"),
    Call("POST", f"{CORE}/namespaces/{{home}}/serviceaccounts/default/token", "serviceaccounts/token"),
    Call("PUT", f"{BATCH}/namespaces/{{served}}/jobs/j", "jobs"),
    Call("PATCH", f"{BATCH}/namespaces/{{served}}/jobs/j/status", "jobs/status"),
    Call("DELETE", f"{BATCH}/namespaces/{{served}}/jobs", "jobs"),
    Call("GET", f"{BATCH}/namespaces/{{served}}/cronjobs", "cronjobs", real_only=True),
    Call("GET", "/apis/apps/v1/namespaces/{home}/deployments", "deployments", real_only=True),
    Call("POST", f"{JOBS}/namespaces/{{served}}/rephrasejobs", "rephrasejobs"),
    Call("PUT", f"{JOBS}/namespaces/{{served}}/rephrasejobs/books", "rephrasejobs"),
    Call("PATCH", f"{JOBS}/namespaces/{{served}}/rephrasejobs/books", "rephrasejobs"),
    Call("DELETE", f"{JOBS}/namespaces/{{served}}/rephrasejobs", "rephrasejobs"),
    Call("PUT", f"{JOBS}/namespaces/{{served}}/rephrasejobs/books/scale", "rephrasejobs/scale"),
    Call("POST", f"{LEASES}/namespaces/{{served}}/leases", "leases"),
    Call("GET", f"{LEASES}/namespaces/{{served}}/leases/rephrase-operator", "leases"),
    Call("GET", f"{LEASES}/namespaces/{{home}}/leases", "leases"),
    Call("GET", f"{LEASES}/namespaces/{{home}}/leases/another", "leases"),
    Call("PUT", f"{LEASES}/namespaces/{{home}}/leases/another", "leases"),
    Call("DELETE", f"{LEASES}/namespaces/{{home}}/leases/rephrase-operator", "leases"),
    Call("PUT", f"{LEASES}/namespaces/kube-node-lease/leases/n", "leases"),
    *(
        Call(method, f"{CRDS}/rephrasejobs.rephrase.dev", "customresourcedefinitions")
        for method in ("GET", "PUT", "PATCH", "DELETE")
    ),
    Call("POST", CRDS, "customresourcedefinitions"),
    Call("POST", f"{RBAC}/clusterrolebindings", "clusterrolebindings"),
    Call("POST", f"{RBAC}/namespaces/{{home}}/rolebindings", "rolebindings"),
    Call("PATCH", f"{RBAC}/namespaces/{{home}}/roles/e2e-rephrase-operator-leader", "roles"),
    Call("GET", f"{RBAC}/clusterroles", "clusterroles"),
]
"""What no operator may do, in the namespaces that it serves or anywhere else."""

SERVED = [
    Call("GET", f"{JOBS}/{{where}}rephrasejobs", "rephrasejobs"),
    Call("GET", f"{JOBS}/{{where}}rephrasejobs?watch=true&timeoutSeconds=1", "rephrasejobs"),
    Call("GET", f"{BATCH}/{{where}}jobs", "jobs"),
    Call("GET", f"{CORE}/{{where}}pods", "pods"),
]
"""What it may do in all namespaces, or in those that it serves."""

SERVED_BY_NAME = [
    Call("GET", f"{JOBS}/{{where}}rephrasejobs/books", "rephrasejobs"),
    Call("DELETE", f"{JOBS}/{{where}}rephrasejobs/books", "rephrasejobs"),
    Call("PATCH", f"{JOBS}/{{where}}rephrasejobs/books/status", "rephrasejobs/status"),
    Call("GET", f"{BATCH}/{{where}}jobs/j", "jobs"),
    Call("POST", f"{BATCH}/{{where}}jobs", "jobs"),
    Call("PATCH", f"{BATCH}/{{where}}jobs/j", "jobs"),
    Call("DELETE", f"{BATCH}/{{where}}jobs/j", "jobs"),
    Call("GET", f"{CORE}/{{where}}configmaps/c", "configmaps"),
    Call("POST", f"{CORE}/{{where}}configmaps", "configmaps"),
    Call("PATCH", f"{CORE}/{{where}}configmaps/c", "configmaps"),
    Call("POST", f"{CORE}/{{where}}events", "events"),
]
"""The same for one object or one namespace."""


class Account:
    """The service account of an installation, at the API server."""

    def __init__(self, stage: Stage) -> None:
        config = yaml.safe_load(stage.operator_config.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._server, self._token = cluster["server"], config["users"][0]["user"]["token"]
        self._tls = ssl.create_default_context()
        if "certificate-authority-data" in cluster:
            self._tls.load_verify_locations(
                cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
            )
        elif "certificate-authority" in cluster:
            self._tls.load_verify_locations(cafile=cluster["certificate-authority"])
        elif cluster.get("insecure-skip-tls-verify"):
            self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self.served, self.home = stage.namespace, stage.home

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """The status and the message of an answer to a request with an empty object."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            f"{self._server}{path}",
            method=method,
            data=None if method in ("GET", "DELETE") else b"{}",
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": kind, **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as refused:
            text = refused.read().decode()
            return refused.code, str(json.loads(text)["message"]) if text.startswith("{") else text

    def denied(self, call: Call, **places: str) -> str:
        """Empty if the authorizer refuses the call, else what happened instead."""
        path = call.path.format(**{"served": self.served, "home": self.home, **places})
        status, said = self.ask(call.method, path)
        if status == 403 and f'resource "{call.resource}"' in said:
            return ""
        return f"{call.method} {path}: {status} {said[:200]}"

    def allowed(self, call: Call, **places: str) -> str:
        """Empty if the authorizer lets the call pass (whatever comes of it), else the refusal."""
        path = call.path.format(**places)
        status, said = self.ask(call.method, path)
        return f"{call.method} {path}: {status} {said[:200]}" if status in (401, 403) else ""


def install(stage: Stage, folder: Path, *, everywhere: bool) -> Stage:
    """The permissions of an installation of its own, without an operator."""
    name = f"denied-{uuid.uuid4().hex[:6]}"
    made = Stage(stage.cluster, folder, f"{name}-served", stage.real, free_port(), home=f"{name}-home")
    if not everywhere:
        made.watched = (made.namespace,)
    made.install()
    return made


@pytest.fixture(params=["everywhere", "namespaces"])
def account(request: pytest.FixtureRequest, shared_stage: Stage, tmp_path: Path) -> Iterator[Account]:
    made = install(shared_stage, tmp_path, everywhere=request.param == "everywhere")
    try:
        yield Account(made)
    finally:
        for namespace in (made.namespace, made.home):
            made.cluster.kubectl("delete", "namespace", namespace, "--wait=false")
        for kind in ("clusterrole", "clusterrolebinding"):
            made.cluster.kubectl("delete", kind, f"{made.home}:e2e-rephrase-operator", "--ignore-not-found")


def test_the_api_server_refuses_what_the_operator_must_not_do(
    account: Account, shared_stage: Stage, request: pytest.FixtureRequest
) -> None:
    calls = [call for call in NEVER if shared_stage.real or not call.real_only]
    assert [found for call in calls if (found := account.denied(call))] == []
    status, said = account.ask("GET", f"{CORE}/namespaces", {"Impersonate-User": "system:admin"})
    assert status == 403
    assert "impersonate" in said

    # Where it is served it may, so that a refusal elsewhere is not one for another reason.
    served = f"namespaces/{account.served}/"
    assert [found for call in SERVED + SERVED_BY_NAME if (found := account.allowed(call, where=served))] == []
    elsewhere = f"namespaces/{account.home}/"
    if "everywhere" in request.node.name:
        assert [found for call in SERVED if (found := account.allowed(call, where=""))] == []
        assert [found for call in SERVED_BY_NAME if (found := account.allowed(call, where=elsewhere))] == []
    else:
        assert [found for call in SERVED if (found := account.denied(call, where=""))] == []
        assert [
            found for call in SERVED + SERVED_BY_NAME if (found := account.denied(call, where=elsewhere))
        ] == []
