"""What pods see of one another: nothing, except through a claim that both mount."""

import json
import sys
from typing import Any

import pytest

from tests.conformance.conftest import Api, wait_for

Object = dict[str, Any]

LOOK = """
import json, os, pathlib, sys, tempfile
note = pathlib.Path(sys.argv.pop())
places = [os.environ["HOME"], os.environ["TMPDIR"], os.getcwd(), tempfile.gettempdir()]
places += [os.path.expanduser(one) for one in ("~/.cache", "~/.cache/vllm", "~/.triton", "~/.config")]
places += sys.argv[1:]
found = {}
for place in map(pathlib.Path, dict.fromkeys(places)):
    place.mkdir(parents=True, exist_ok=True)
    found[str(place)] = sorted(one.name for one in place.iterdir() if one.is_file())
    (place / f"left-by-{os.environ['HOSTNAME']}").write_text("here")
note.write_text(json.dumps(found))
"""


class Pods:
    """Pods of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    def path(self, plural: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self._namespace}/{plural}/{name}".rstrip("/")

    def start(self, name: str, *command: str, volumes: dict[str, Object] | None = None, **more: Any) -> None:
        """A pod with these volumes, each mounted at /mnt/NAME."""
        mounts = [{"name": one, "mountPath": f"/mnt/{one}"} for one in volumes or ()]
        container = {"name": "main", "image": "none", "command": command, "volumeMounts": mounts, **more}
        spec: Object = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": one, **source} for one, source in (volumes or {}).items()],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        answer = self._api("POST", self.path("pods"), body)
        assert answer.status_code == 201, answer.text

    def get(self, name: str) -> Object:
        found: Object = self._api("GET", self.path("pods", name)).json()
        return found

    def message(self, name: str) -> str:
        """What the pod wrote before it ended well."""
        wait_for(lambda: self.get(name)["status"].get("phase") in ("Succeeded", "Failed"), 30)
        ended = self.get(name)["status"]["containerStatuses"][0]["state"]["terminated"]
        assert ended["exitCode"] == 0, ended
        message: str = ended.get("message", "")
        return message

    def run(self, name: str, *arguments: str, volumes: dict[str, Object] | None = None) -> Object:
        """What a pod that ended found at places that pods on two nodes would not share, and at others."""
        self.start(name, sys.executable, "-c", LOOK, *arguments, "/dev/termination-log", volumes=volumes)
        found: Object = json.loads(self.message(name))
        return found

    def claim(self, name: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": spec,
        }
        answer = self._api("POST", self.path("persistentvolumeclaims"), body)
        assert answer.status_code == 201, answer.text

    def delete(self, plural: str, name: str) -> None:
        self._api("DELETE", self.path(plural, name))
        wait_for(lambda: self._api("GET", self.path(plural, name)).status_code == 404, 30)


@pytest.fixture
def pods(api: Api, namespace: str) -> Pods:
    return Pods(api, namespace)


def test_two_pods_find_nothing_of_one_another(pods: Pods) -> None:
    empty = {"scratch": {"emptyDir": {}}}
    first, second = (pods.run(name, "/mnt/scratch", volumes=empty) for name in ("first", "second"))
    assert len(first) == len(second) >= 6
    assert not any(first.values()), first
    assert not any(second.values()), second
    assert first.keys().isdisjoint(second.keys())


def test_two_containers_of_a_pod_share_its_volumes_only(api: Api, pods: Pods) -> None:
    script = 'test -z "$(ls $HOME; ls $TMPDIR)" && touch $HOME/mine $TMPDIR/mine && touch /mnt/both/$NAME'
    script += " && while test $(ls /mnt/both | wc -l) != 2; do sleep 0.1; done"
    containers = [
        {
            "name": name,
            "image": "none",
            "command": ["sh", "-c", script],
            "env": [{"name": "NAME", "value": name}],
            "volumeMounts": [{"name": "both", "mountPath": "/mnt/both"}],
        }
        for name in ("one", "two")
    ]
    spec = {"restartPolicy": "Never", "containers": containers, "volumes": [{"name": "both", "emptyDir": {}}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    spec["automountServiceAccountToken"] = False
    assert api("POST", pods.path("pods"), body).status_code == 201
    wait_for(lambda: pods.get("p")["status"].get("phase") in ("Succeeded", "Failed"), 30)
    assert pods.get("p")["status"]["phase"] == "Succeeded"


def claimed(name: str) -> dict[str, Object]:
    return {"data": {"persistentVolumeClaim": {"claimName": name}}}


def test_a_claim_is_seen_where_it_is_mounted_and_outlives_pods(pods: Pods) -> None:
    for name in ("here", "there"):
        pods.claim(name)
    pods.run("writer", "/mnt/data", volumes=claimed("here"))
    pods.delete("pods", "writer")
    assert "left-by-writer" in str(pods.run("reader", "/mnt/data", volumes=claimed("here")))
    assert "left-by" not in str(pods.run("stranger", "/mnt/data", volumes=claimed("there")))


def test_a_new_claim_of_the_same_name_is_empty(pods: Pods) -> None:
    pods.claim("here")
    pods.run("writer", "/mnt/data", volumes=claimed("here"))
    pods.delete("pods", "writer")
    pods.delete("persistentvolumeclaims", "here")
    pods.claim("here")
    assert "left-by" not in str(pods.run("reader", "/mnt/data", volumes=claimed("here")))


def test_a_pod_waits_for_its_claim(pods: Pods) -> None:
    pods.start("early", "true", volumes=claimed("late"))

    def unscheduled() -> list[Object]:
        conditions = pods.get("early")["status"].get("conditions", ())
        return [one for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False"]

    (condition,) = wait_for(unscheduled, 30)
    assert condition["reason"] == "Unschedulable"
    assert 'persistentvolumeclaim "late" not found' in condition["message"]
    assert pods.get("early")["status"]["phase"] == "Pending"
    pods.claim("late")
    pods.message("early")


def test_a_claim_stays_while_a_pod_uses_it(api: Api, pods: Pods) -> None:
    pods.claim("used")
    pods.start("user", "sleep", "1000", volumes=claimed("used"))
    wait_for(lambda: pods.get("user")["status"].get("phase") == "Running", 30)
    path = pods.path("persistentvolumeclaims", "used")
    api("DELETE", path)
    assert api("GET", path).json()["metadata"]["deletionTimestamp"]
    pods.start("next", "true", volumes=claimed("used"))
    wait_for(lambda: "is being deleted" in str(pods.get("next")["status"]), 30)
    pods.delete("pods", "next")
    assert api("GET", path).status_code == 200
    pods.delete("pods", "user")
    wait_for(lambda: api("GET", path).status_code == 404, 30)


def test_paths_of_claims_are_found_in_variables(pods: Pods) -> None:
    pods.claim("here")
    volumes = {"claim": claimed("here")["data"], "other": {"emptyDir": {}}}
    value = "claim=/mnt/claim,other=/mnt/other"
    script = 'IFS=,; for one in $CLAIMS; do touch "${one#*=}/${one%%=*}"; done; ls $DIRECT > $0'
    env = [{"name": "CLAIMS", "value": value}, {"name": "DIRECT", "value": "/mnt/claim"}]
    pods.start("p", "sh", "-c", script, "/dev/termination-log", volumes=volumes, env=env)
    assert pods.message("p") == "claim\n"
