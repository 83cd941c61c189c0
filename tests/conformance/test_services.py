"""Pods that serve: they are restarted, probed, and know who they are."""

import json
import sys
from typing import Any

from tests.conformance.conftest import Api, wait_for

Object = dict[str, Any]

SERVE_AT_THE_SECOND_START = """
import http.server, os, pathlib, sys
mark = pathlib.Path(sys.argv[1], "started")
if not mark.exists():
    mark.touch()
    sys.exit(3)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 500)
        self.end_headers()
    log_message = print
http.server.HTTPServer((os.environ["POD_IP"], 8099), Answer).serve_forever()
"""

ASK_WHO_I_AM = """
import json, os, pathlib, ssl, sys, urllib.error, urllib.request
config = json.loads(pathlib.Path(os.environ["KUBECONFIG"]).read_text())
token = config["users"][0]["user"]["token"]
url = config["clusters"][0]["cluster"]["server"] + sys.argv[1]
asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
try:
    urllib.request.urlopen(asked, context=ssl._create_unverified_context())
except urllib.error.HTTPError as error:
    pathlib.Path(sys.argv[2]).write_text(error.read().decode())
"""


def start(api: Api, namespace: str, restart: str, container: Object, *volumes: Object, account: str) -> None:
    mounts = [
        {"name": one["name"], "mountPath": container.pop("at", f"/mnt/{one['name']}")} for one in volumes
    ]
    spec: Object = {
        "restartPolicy": restart,
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "none", "volumeMounts": mounts, **container}],
        "volumes": list(volumes),
    }
    path = f"/api/v1/namespaces/{namespace}"
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
    assert api("POST", f"{path}/serviceaccounts", body).status_code == 201
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    answer = api("POST", f"{path}/pods", body)
    assert answer.status_code == 201, answer.text


def status(api: Api, namespace: str) -> Object:
    found: Object = api("GET", f"/api/v1/namespaces/{namespace}/pods/one").json()["status"]
    return found


def test_a_pod_that_restarts_always_is_ready_when_its_probe_passes(api: Api, namespace: str) -> None:
    container = {
        "command": [sys.executable, "-c", SERVE_AT_THE_SECOND_START, "/mnt/scratch"],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "web", "containerPort": 8099}],
        "readinessProbe": {"httpGet": {"port": "web", "path": "/ready"}, "periodSeconds": 1},
    }
    start(api, namespace, "Always", container, {"name": "scratch", "emptyDir": {}}, account="server")

    def ready() -> bool:
        conditions = {one["type"]: one["status"] for one in status(api, namespace).get("conditions", ())}
        return conditions.get("Ready") == "True"

    wait_for(ready, 30)
    found = status(api, namespace)
    (container_status,) = found["containerStatuses"]
    assert (found["phase"], container_status["restartCount"]) == ("Running", 1)
    assert container_status["lastState"]["terminated"]["exitCode"] == 3


def test_a_container_whose_liveness_probe_fails_is_restarted(api: Api, namespace: str) -> None:
    container = {
        "command": [sys.executable, "-c", SERVE_AT_THE_SECOND_START, "/mnt/scratch"],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "livenessProbe": {
            "httpGet": {"port": 8099, "path": "/sick"},
            "periodSeconds": 1,
            "failureThreshold": 2,
        },
    }
    start(api, namespace, "Always", container, {"name": "scratch", "emptyDir": {}}, account="server")

    def restarts() -> int:
        found = status(api, namespace).get("containerStatuses") or [{"restartCount": 0}]
        return int(found[0]["restartCount"])

    wait_for(lambda: restarts() >= 2, 30)


def test_a_pod_is_its_service_account(api: Api, namespace: str) -> None:
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    container = {
        "command": [sys.executable, "-c", ASK_WHO_I_AM, secrets, "/dev/termination-log"],
        "at": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
    start(
        api,
        namespace,
        "Never",
        container,
        {"name": "token", "projected": {"sources": [token]}},
        account="somebody",
    )
    wait_for(lambda: status(api, namespace).get("phase") == "Succeeded", 30)
    said = status(api, namespace)["containerStatuses"][0]["state"]["terminated"]["message"]
    answer = json.loads(said)
    assert answer["reason"] == "Forbidden"
    assert f"system:serviceaccount:{namespace}:somebody" in answer["message"]
