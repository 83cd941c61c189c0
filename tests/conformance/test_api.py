"""The API under kubectl: versions, conflicts, watches, paging, patches, deletion, and who may do what."""

import json
from typing import Any

from localcluster import Cluster
from tests.conformance.conftest import Api, Widgets, wait_for

MERGE = "application/merge-patch+json"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def maps(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}".rstrip("/")


def test_status_and_spec_are_written_apart(api: Api, namespace: str, widgets: Widgets) -> None:
    path = widgets.path(namespace, "one")
    body = {**widgets.make(namespace), "status": {"phase": "Bogus"}}
    created = api("POST", widgets.path(namespace), body).json()
    assert "status" not in created
    assert created["metadata"]["generation"] == 1
    both = {"metadata": {"labels": {"a": "b"}}, "spec": {"mode": "fast"}, "status": {"phase": "Running"}}
    after = api("PATCH", f"{path}/status", both, MERGE).json()
    assert (after["spec"]["mode"], after["status"]["phase"]) == ("slow", "Running")
    assert "labels" not in after["metadata"]
    assert after["metadata"]["generation"] == 1
    after = api("PATCH", path, {**both, "status": {"phase": "Done"}}, MERGE).json()
    assert (after["spec"]["mode"], after["status"]["phase"]) == ("fast", "Running")
    assert after["metadata"]["generation"] == 2


def test_a_write_that_changes_nothing_leaves_the_version(api: Api, namespace: str) -> None:
    created = api("POST", maps(namespace), config_map("a", x="1")).json()
    same = api("PATCH", maps(namespace, "a"), {"data": {"x": "1"}}, MERGE).json()
    assert same["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


def test_stale_writes_conflict(api: Api, namespace: str, widgets: Widgets) -> None:
    first = api("POST", widgets.path(namespace), widgets.make(namespace)).json()
    path = widgets.path(namespace, "one")
    assert api("PUT", path, {**first, "spec": {"source": "b"}}).status_code == 200
    stale = api("PUT", path, {**first, "spec": {"source": "c"}})
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert stale.json()["message"] == (
        f'Operation cannot be fulfilled on widgets.{widgets.group} "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    patched = api(
        "PATCH", path, {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}}, MERGE
    )
    assert patched.status_code == 409
    unversioned = api("PUT", path, widgets.make(namespace))
    assert (unversioned.status_code, unversioned.json()["reason"]) == (422, "Invalid")
    assert "metadata.resourceVersion: Invalid value" in unversioned.json()["message"]


def test_names_are_unique_generated_and_checked(api: Api, namespace: str) -> None:
    assert api("POST", maps(namespace), config_map("a")).status_code == 201
    taken = api("POST", maps(namespace), config_map("a")).json()
    assert (taken["code"], taken["reason"], taken["message"]) == (
        409,
        "AlreadyExists",
        'configmaps "a" already exists',
    )
    generated = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}
    names = {api("POST", maps(namespace), generated).json()["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("a-") and len(name) == 7 for name in names)
    odd = api("POST", maps(namespace), config_map("No_Name")).json()
    assert odd["code"] == 422
    assert "a lowercase RFC 1123 subdomain must consist of" in odd["message"]


def test_a_missing_object_is_reported_as_not_found(api: Api, namespace: str, widgets: Widgets) -> None:
    gone = api("GET", maps(namespace, "none")).json()
    assert (gone["code"], gone["reason"], gone["message"]) == (404, "NotFound", 'configmaps "none" not found')
    assert api("GET", "/apis/nothing.example.dev/v1/things").status_code == 404
    elsewhere = api("POST", maps("no-such-namespace"), config_map("a")).json()
    assert elsewhere["message"] == 'namespaces "no-such-namespace" not found'
    wrong = {**widgets.make(namespace), "kind": "Gadget"}
    assert "kind: Invalid value" in api("POST", widgets.path(namespace), wrong).json()["message"]


def test_watch_continues_from_a_version(api: Api, namespace: str) -> None:
    version = api("GET", maps(namespace)).json()["metadata"]["resourceVersion"]
    api("POST", maps(namespace), config_map("a", x="1"))
    api("PATCH", maps(namespace, "a"), {"data": {"x": "2"}}, MERGE)
    api("DELETE", maps(namespace, "a"))
    events = api.watch(maps(namespace), lambda seen: len(seen) == 3, resourceVersion=version)
    assert [kind for kind, _ in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
    assert versions == sorted(set(versions))
    assert events[2][1]["data"] == {"x": "2"}


def test_watch_with_a_selector_sees_objects_come_and_go(api: Api, namespace: str) -> None:
    version = api("GET", maps(namespace)).json()["metadata"]["resourceVersion"]
    api("POST", maps(namespace), config_map("a"))
    for value in ("in", "out"):
        api("PATCH", maps(namespace, "a"), {"metadata": {"labels": {"is": value}}}, MERGE)
    events = api.watch(
        maps(namespace), lambda seen: len(seen) == 2, resourceVersion=version, labelSelector="is=in"
    )
    assert [kind for kind, _ in events] == ["ADDED", "DELETED"]


def test_watch_without_a_version_begins_with_the_existing_objects(api: Api, namespace: str) -> None:
    api("POST", maps(namespace), config_map("a"))
    ((kind, obj),) = api.watch(maps(namespace), bool, fieldSelector="metadata.name=a")
    assert (kind, obj["metadata"]["name"], obj["kind"]) == ("ADDED", "a", "ConfigMap")


def test_a_list_is_cut_into_pages_of_one_moment(api: Api, namespace: str) -> None:
    for number in range(5):
        body = config_map(f"m{number}")
        api("POST", maps(namespace), {**body, "metadata": {**body["metadata"], "labels": {"counted": ""}}})
    query = {"limit": "2", "labelSelector": "counted"}
    page = api("GET", maps(namespace), **query).json()
    names = [item["metadata"]["name"] for item in page["items"]]
    api("DELETE", maps(namespace, "m4"))
    while token := page["metadata"].get("continue"):
        page = api("GET", maps(namespace), **query, **{"continue": token}).json()
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == [f"m{number}" for number in range(5)]
    assert api("GET", maps(namespace), fieldSelector="data.x=y").status_code == 400


def test_finalizers_hold_a_deletion(api: Api, namespace: str) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["example.dev/hold"]
    api("POST", maps(namespace), body)
    api("DELETE", maps(namespace, "a"))
    held = api("GET", maps(namespace, "a")).json()
    assert held["metadata"]["deletionTimestamp"]
    more = api(
        "PATCH",
        maps(namespace, "a"),
        {"metadata": {"finalizers": ["example.dev/hold", "example.dev/more"]}},
        MERGE,
    )
    assert more.status_code == 422
    api("PATCH", maps(namespace, "a"), {"metadata": {"finalizers": None}}, MERGE)
    assert api("GET", maps(namespace, "a")).status_code == 404


def test_deletion_asks_for_the_right_object(api: Api, namespace: str) -> None:
    api("POST", maps(namespace), config_map("a"))
    wrong = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}
    assert api("DELETE", maps(namespace, "a"), wrong).status_code == 409
    assert api("DELETE", maps(namespace, "a")).json()["status"] == "Success"
    assert api("DELETE", maps(namespace, "a")).status_code == 404


def owned(namespace: str, owner: dict[str, Any], name: str) -> dict[str, Any]:
    ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    body = config_map(name)
    body["metadata"]["ownerReferences"] = [{**ref, "blockOwnerDeletion": True}]
    return body


def test_owned_objects_go_with_their_owner(api: Api, namespace: str) -> None:
    owner = api("POST", maps(namespace), config_map("owner")).json()
    assert api("POST", maps(namespace), owned(namespace, owner, "child")).status_code == 201
    api("DELETE", maps(namespace, "owner"), {"propagationPolicy": "Background"})
    assert api("GET", maps(namespace, "owner")).status_code == 404
    wait_for(lambda: api("GET", maps(namespace, "child")).status_code == 404)


def test_a_namespace_takes_everything_along(cluster: Cluster, api: Api, namespace: str) -> None:
    name = f"{namespace}-x"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    api("POST", maps(name), config_map("a"))
    cluster.kubectl("delete", "namespace", name, "--timeout=30s")
    assert api("GET", maps(name, "a")).status_code == 404


def test_roles_decide(cluster: Cluster, namespace: str) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["delete"]},
        {"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": ["patch"]},
    ]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    meta = {"name": "reader", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {**rbac, "kind": "Role", "metadata": meta, "rules": rules},
        {**rbac, "kind": "RoleBinding", "metadata": meta, "roleRef": role, "subjects": [subject]},
    )
    token = cluster.kubectl("create", "token", "reader", "-n", namespace).stdout.strip()
    with Api(cluster, token) as api:
        assert api("GET", maps(namespace)).status_code == 200
        assert api("GET", maps(namespace, "x")).status_code == 404
        assert api("DELETE", maps(namespace, "mine")).status_code == 404
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        assert api("PATCH", f"{jobs}/x/status", {}, MERGE).status_code == 404
        for method, path in (
            ("DELETE", maps(namespace, "other")),
            ("GET", maps("default")),
            ("PATCH", f"{jobs}/x"),
        ):
            assert api(method, path, {}, MERGE).status_code == 403
        user = f"system:serviceaccount:{namespace}:reader"
        refused = api("GET", jobs).json()
        assert refused["message"] == (
            f'jobs.batch is forbidden: User "{user}" cannot list resource "jobs" in API group "batch" '
            f'in the namespace "{namespace}"'
        )
        refused = api("GET", "/api/v1/nodes").json()
        assert refused["message"] == (
            f'nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" '
            "at the cluster scope"
        )
        assert api("GET", "/apis").status_code == 200
        cluster.kubectl("delete", "serviceaccount", "reader", "-n", namespace)
        wait_for(lambda: api("GET", maps(namespace)).status_code == 401)


def test_strangers_are_turned_away(cluster: Cluster, namespace: str) -> None:
    with Api(cluster, "nonsense") as stranger:
        answer = stranger("GET", maps(namespace))
    assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")


def test_leases_are_taken_by_one(api: Api, namespace: str) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"}}
    lease = api("POST", path, {**body, "spec": {"holderIdentity": "a"}}).json()
    taken = [api("PUT", f"{path}/leader", {**lease, "spec": {"holderIdentity": who}}) for who in "bc"]
    assert [answer.status_code for answer in taken] == [200, 409]
    assert api("GET", f"{path}/leader").json()["spec"]["holderIdentity"] == "b"


def test_secrets_take_plain_text_and_keep_base64(api: Api, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}
    found = api("POST", f"/api/v1/namespaces/{namespace}/secrets", body).json()
    assert (found["data"], found["type"]) == ({"k": "dg=="}, "Opaque")


def test_a_builtin_object_merges_lists_by_key(cluster: Cluster, namespace: str) -> None:
    def job(**env: str) -> dict[str, Any]:
        listed = [{"name": key, "value": value} for key, value in env.items()]
        container: dict[str, Any] = {"name": "main", "image": "none", "command": ["true"], "env": listed}
        container["resources"] = {"limits": {"cpu": "1"}}
        spec = {"restartPolicy": "Never", "containers": [container]}
        meta = {"name": "j", "namespace": namespace}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": meta,
            "spec": {"suspend": True, "template": {"spec": spec}},
        }

    cluster.apply(job(A="1"))
    found = cluster.get("job", "j", "-n", namespace)["spec"]["template"]["spec"]["containers"][0]
    assert (found["command"], found["resources"]) == (["true"], {"limits": {"cpu": "1"}})
    more = {
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]}
            }
        }
    }
    cluster.kubectl("patch", "job", "j", "-n", namespace, "-p", json.dumps(more))
    found = cluster.get("job", "j", "-n", namespace)["spec"]["template"]["spec"]["containers"][0]
    assert (found["command"], found["resources"]["limits"]) == (["true"], {"cpu": "1", "memory": "1Gi"})
    refused = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(job(A="2")), check=False)
    assert "field is immutable" in refused.stderr
