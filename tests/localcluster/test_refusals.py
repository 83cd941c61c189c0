"""What a real cluster does and this one does not is refused with 501 and a sentence, never ignored."""

from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import Cluster, running
from tests.conformance.conftest import Api

Object = dict[str, Any]
PODS, JOBS = "/api/v1/namespaces/default/pods", "/apis/batch/v1/namespaces/default/jobs"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def api(cluster: Cluster) -> Iterator[Api]:
    with Api(cluster, cluster.token) as found:
        yield found


def template(container: Object | None = None, **spec: Any) -> Object:
    main = {"name": "main", "image": "none", "command": ["true"], **(container or {})}
    return {"restartPolicy": "Never", "containers": [main], **spec}


def pod(container: Object | None = None, **spec: Any) -> Object:
    meta = {"name": "p"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template(container, **spec)}


def job(inner: Object | None = None, **spec: Any) -> Object:
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}}
    return {**body, "spec": {**spec, "template": {"spec": template(**(inner or {}))}}}


PROBE = {"httpGet": {"port": 80}}
TCP = {"tcpSocket": {"port": 80}}
SECRET = {"secret": {"name": "s"}}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (PODS, pod({"readinessProbe": TCP}), "readinessProbe is httpGet only"),
        (PODS, pod({"livenessProbe": TCP}), "livenessProbe is httpGet only"),
        (PODS, pod({"startupProbe": PROBE}), "has no startupProbe"),
        (PODS, pod({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}), "has no lifecycle"),
        (PODS, pod({"envFrom": [{"configMapRef": {"name": "c"}}]}), "has no envFrom"),
        (PODS, pod(initContainers=[{"name": "i", "image": "none"}]), "has no initContainers"),
        (PODS, pod(restartPolicy="OnFailure"), "no restartPolicy OnFailure"),
        (PODS, pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "has no hostPath volumes"),
        (PODS, pod(volumes=[{"name": "v", "projected": {"sources": [SECRET]}}]), "projects no secret"),
        (PODS, pod(volumes=[{"name": "v", "downwardAPI": {"items": []}}]), "has no downwardAPI volumes"),
        (JOBS, job({"container": {"livenessProbe": TCP}}), "livenessProbe is httpGet only"),
        (JOBS, job({"restartPolicy": "OnFailure"}), "no restartPolicy OnFailure"),
        (JOBS, job(ttlSecondsAfterFinished=0), "has no ttlSecondsAfterFinished"),
        (JOBS, job(activeDeadlineSeconds=5), "has no activeDeadlineSeconds"),
        (JOBS, job(managedBy="example.dev/other"), "has no managedBy"),
        (PODS + "/p/eviction", {"apiVersion": "policy/v1", "kind": "Eviction"}, "no pods/eviction"),
        (PODS + "/p/exec", {}, "no pods/exec"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_features_are_refused_with_501(api: Api, path: str, body: Object, said: str) -> None:
    answer = api("POST", path, body).json()
    assert (answer["kind"], answer["code"], answer["reason"]) == ("Status", 501, "NotImplemented")
    assert said in answer["message"]


@pytest.mark.parametrize("policy", ["Foreground", "Orphan"])
def test_only_background_deletion_is_known(api: Api, policy: str) -> None:
    api("POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    answer = api("DELETE", MAPS + "/c", {"propagationPolicy": policy}).json()
    assert (answer["code"], answer["reason"]) == (501, "NotImplemented")
    assert f"propagationPolicy {policy}" in answer["message"]
    assert "use Background" in answer["message"]
    assert api("GET", MAPS + "/c").status_code == 200


def test_jobs_have_to_be_deleted_with_a_policy(api: Api) -> None:
    """Without one a real API server would orphan the pods."""
    assert api("POST", JOBS, job(suspend=True)).status_code == 201
    assert api("DELETE", JOBS + "/j").status_code == 501
    assert api("DELETE", JOBS + "/j", {"propagationPolicy": "Background"}).status_code == 200


@pytest.mark.parametrize(
    ("kind", "said"),
    [("application/json-patch+json", "no json-patch"), ("application/apply-patch+yaml", "no apply-patch")],
)
def test_some_kinds_of_patches_are_missing(api: Api, kind: str, said: str) -> None:
    api("POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    answer = api("PATCH", MAPS + "/c", [], kind).json()
    assert (answer["code"], answer["reason"]) == (501, "NotImplemented")
    assert said in answer["message"]


def test_collections_are_not_deleted(api: Api) -> None:
    assert api("DELETE", MAPS).json()["code"] == 501
