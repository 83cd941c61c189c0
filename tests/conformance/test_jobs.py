"""Jobs and their pods, run by a Job controller, local or real, and by the process kubelet."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from localcluster import Cluster
from tests.conformance.conftest import REAL, Api, wait_for

MERGE = "application/merge-patch+json"
Object = dict[str, Any]


def jobs(namespace: str, name: str = "") -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}".rstrip("/")


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def make(script: str, *, container: Object | None = None, pod: Object | None = None, **spec: Any) -> Object:
    """An indexed Job that runs a shell script."""
    main = {"name": "main", "image": "none", "command": ["sh", "-c", script], **(container or {})}
    template = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [main],
        **(pod or {}),
    }
    defaults = {"completionMode": "Indexed", "completions": 1, "backoffLimitPerIndex": 0}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}}
    return {**body, "spec": {**defaults, **spec, "template": {"spec": template}}}


class Run:
    """One Job, and how to wait for it."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    def start(self, body: Object) -> None:
        answer = self.api("POST", jobs(self.namespace), body)
        assert answer.status_code == 201, answer.text

    def get(self) -> Object:
        found: Object = self.api("GET", jobs(self.namespace, "j")).json()
        return found

    def until(self, condition: Callable[[Object], Any]) -> Object:
        found: Object = self.api.watch(jobs(self.namespace), lambda events: condition(events[-1][1]))[-1][1]
        return found

    def ended(self) -> Object:
        return self.until(lambda job: reason(job, "Complete") or reason(job, "Failed"))

    def patch(self, **spec: Any) -> None:
        answer = self.api("PATCH", jobs(self.namespace, "j"), {"spec": spec}, MERGE)
        assert answer.status_code == 200, answer.text

    def pods(self) -> list[Object]:
        found: list[Object] = self.api("GET", pods(self.namespace)).json()["items"]
        return found

    def running(self, count: int) -> list[Object]:
        def ready() -> list[Object] | None:
            found = [pod for pod in self.pods() if pod["status"]["phase"] == "Running"]
            return found if len(found) == count else None

        result: list[Object] = wait_for(ready, 40)
        return result


@pytest.fixture
def run(api: Api, namespace: str) -> Run:
    return Run(api, namespace)


def reason(job: Object, kind: str) -> str:
    conditions = job.get("status", {}).get("conditions") or ()
    return next((one["reason"] for one in conditions if one["type"] == kind and one["status"] == "True"), "")


def state(pod: Object) -> Object:
    found: Object = pod["status"]["containerStatuses"][0]["state"]
    return found


def test_each_index_runs_once(run: Run) -> None:
    run.start(make('echo "index $JOB_COMPLETION_INDEX"', completions=3, parallelism=2))
    status = run.ended()["status"]
    assert (status["succeeded"], status["completedIndexes"], status.get("failed", 0)) == (3, "0-2", 0)
    assert [one["type"] for one in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert {one["reason"] for one in status["conditions"]} == {"CompletionsReached"}
    assert status["completionTime"]
    found = sorted(run.pods(), key=lambda pod: pod["metadata"]["name"])
    index = "batch.kubernetes.io/job-completion-index"
    assert [pod["metadata"]["labels"][index] for pod in found] == ["0", "1", "2"]
    assert [pod["metadata"]["annotations"][index] for pod in found] == ["0", "1", "2"]
    assert all(pod["metadata"]["labels"]["job-name"] == "j" for pod in found)
    assert not any(pod["metadata"].get("finalizers") for pod in found)
    assert [pod["status"]["phase"] for pod in found] == ["Succeeded"] * 3
    assert state(found[0])["terminated"]["reason"] == "Completed"


def test_logs_and_events_are_there(cluster: Cluster, run: Run) -> None:
    run.start(make("echo one; echo two"))
    run.ended()
    assert cluster.kubectl("logs", "job/j", "-n", run.namespace).stdout == "one\ntwo\n"
    assert cluster.kubectl("logs", "job/j", "-n", run.namespace, "--tail=1").stdout == "two\n"
    described = cluster.kubectl("describe", "job", "j", "-n", run.namespace).stdout
    assert "SuccessfulCreate" in described
    assert "Completed" in described
    listed = cluster.kubectl("get", "jobs,pods", "-n", run.namespace).stdout.split()
    assert {"Complete", "1/1", "Completed", "0/1"} <= set(listed)


def test_logs_are_followed_to_the_end(cluster: Cluster, run: Run) -> None:
    run.start(make("echo one; sleep 1; echo two"))
    run.running(1)
    name = run.pods()[0]["metadata"]["name"]
    assert cluster.kubectl("logs", "-f", name, "-n", run.namespace).stdout == "one\ntwo\n"


def test_failed_indexes_do_not_stop_the_others(run: Run) -> None:
    run.start(make('test "$JOB_COMPLETION_INDEX" != 1', completions=3, parallelism=3))
    status = run.ended()["status"]
    assert (status["succeeded"], status["failed"]) == (2, 1)
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1")
    assert [(one["type"], one["reason"]) for one in status["conditions"]] == [
        ("FailureTarget", "FailedIndexes"),
        ("Failed", "FailedIndexes"),
    ]


def test_an_index_is_tried_again_with_its_count(run: Run, tmp_path: Any) -> None:
    once = tmp_path / "once"
    run.start(make(f"test -e {once} || {{ touch {once}; exit 3; }}", backoffLimitPerIndex=1))
    status = run.ended()["status"]
    assert (status["succeeded"], status["failed"], status["failedIndexes"]) == (1, 1, "")
    counts = [
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] for pod in run.pods()
    ]
    assert sorted(counts) == ["0", "1"]


def policy(*rules: Object) -> Object:
    return {"podFailurePolicy": {"rules": list(rules)}}


def codes(action: str, *values: int, operator: str = "In") -> Object:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values)}}


def test_an_exit_code_fails_the_job_at_once(run: Run) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 0 || exec sleep 100; exit 64'
    spec = policy(codes("FailJob", 64, 78))
    run.start(
        make(
            script,
            completions=2,
            parallelism=2,
            backoffLimitPerIndex=5,
            pod={"terminationGracePeriodSeconds": 1},
            **spec,
        )
    )
    job = run.ended()
    assert reason(job, "Failed") == "PodFailurePolicy"
    message = job["status"]["conditions"][-1]["message"]
    assert "failed with exit code 64 matching FailJob rule at index 0" in message
    assert job["status"]["failed"] == 2
    assert not job["status"].get("active")


def test_an_exit_code_fails_its_index(run: Run) -> None:
    run.start(make("exit 65", backoffLimitPerIndex=5, **policy(codes("FailIndex", 65))))
    status = run.ended()["status"]
    assert (status["failedIndexes"], status["failed"]) == ("0", 1)


def test_too_many_failed_indexes_end_the_job(run: Run) -> None:
    run.start(make("exit 1", completions=5, parallelism=1, maxFailedIndexes=1))
    job = run.ended()
    assert reason(job, "Failed") == "MaxFailedIndexesExceeded"
    assert job["status"]["failedIndexes"] == "0,1"


def test_a_disrupted_pod_is_replaced_and_not_counted(run: Run, api: Api) -> None:
    ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    run.start(
        make(
            "exec sleep 100",
            pod={"terminationGracePeriodSeconds": 1},
            **policy(ignore, codes("FailIndex", 1)),
        )
    )
    (pod,) = run.running(1)
    name = pod["metadata"]["name"]
    # What the taint manager and the scheduler's preemption do.
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    body = {"status": {"conditions": [condition]}}
    strategic = "application/strategic-merge-patch+json"
    assert api("PATCH", f"{pods(run.namespace)}/{name}/status", body, strategic).status_code == 200
    api("DELETE", f"{pods(run.namespace)}/{name}")
    wait_for(lambda: api("GET", f"{pods(run.namespace)}/{name}").status_code == 404, 30)
    again = wait_for(lambda: [one for one in run.pods() if one["metadata"]["name"] != name], 30)
    notes = again[0]["metadata"]["annotations"]
    assert notes["batch.kubernetes.io/job-index-failure-count"] == "0"
    assert notes["batch.kubernetes.io/job-index-ignored-failure-count"] == "1"
    assert run.get()["status"].get("failed", 0) == 0


def test_suspending_stops_pods_and_resuming_starts_them(run: Run) -> None:
    run.start(make("exec sleep 100", completions=2, parallelism=2, pod={"terminationGracePeriodSeconds": 1}))
    run.running(2)
    first = run.get()["status"]["startTime"]
    run.patch(suspend=True)
    stopped = run.until(lambda job: reason(job, "Suspended") and not job["status"].get("active"))
    assert reason(stopped, "Suspended") == "JobSuspended"
    wait_for(lambda: not run.pods(), 30)
    assert run.get()["status"].get("failed", 0) == 0
    run.patch(suspend=False, template={"metadata": {"labels": {"changed": None}}})
    run.running(2)
    resumed = run.get()["status"]
    assert not reason(run.get(), "Suspended")
    assert resumed["startTime"] >= first


def test_parallelism_moves_at_any_time(run: Run) -> None:
    run.start(make("exec sleep 100", completions=4, parallelism=1, pod={"terminationGracePeriodSeconds": 1}))
    assert [
        pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for pod in run.running(1)
    ] == ["0"]
    run.patch(parallelism=3)
    run.running(3)
    run.patch(parallelism=1)
    wait_for(lambda: len(run.pods()) == 1, 30)
    assert run.get()["status"].get("failed", 0) == 0


def test_a_plain_job_has_one_completion(run: Run) -> None:
    body = make("exit 1", backoffLimit=0)
    for key in ("completionMode", "completions", "backoffLimitPerIndex"):
        del body["spec"][key]
    run.start(body)
    job = run.ended()
    assert reason(job, "Failed") == "BackoffLimitExceeded"
    assert job["status"]["failed"] == 1


def test_immutable_fields_are_refused(run: Run) -> None:
    run.start(make("true", suspend=True))
    for field, value in (("completionMode", "NonIndexed"), ("backoffLimitPerIndex", 3), ("completions", 7)):
        refused = run.api("PATCH", jobs(run.namespace, "j"), {"spec": {field: value}}, MERGE).json()
        assert refused["code"] == 422
        assert f"spec.{field}" in refused["message"]


def test_deleting_a_job_ends_its_processes(run: Run, tmp_path: Any) -> None:
    witness = tmp_path / "witness"
    trap = f"trap 'echo terminated >> {witness}; exit 7' TERM"
    script = f"{trap}; echo up > {witness}; while true; do sleep 0.1; done"
    run.start(make(script))
    wait_for(witness.exists, 30)
    run.api("DELETE", jobs(run.namespace, "j"), {"propagationPolicy": "Background"})
    wait_for(lambda: run.api("GET", jobs(run.namespace, "j")).status_code == 404, 30)
    wait_for(lambda: not run.pods(), 30)
    assert witness.read_text() == "up\nterminated\n"


def test_environment_volumes_and_termination_message(run: Run) -> None:
    api, where = run.api, f"/api/v1/namespaces/{run.namespace}"
    meta = {"metadata": {"name": "conf"}}
    api(
        "POST",
        f"{where}/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", **meta, "data": {"a.txt": "A", "K": "v"}},
    )
    api(
        "POST",
        f"{where}/secrets",
        {"apiVersion": "v1", "kind": "Secret", **meta, "stringData": {"word": "hush"}},
    )
    env = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "conf", "key": "word"}}},
        {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "conf", "key": "no", "optional": True}}},
        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "K"}}},
        {"name": "CONF", "value": "/conf/a.txt"},
        {"name": "BOTH", "value": "$(WORD)-$(NONE)-$$(WORD)"},
    ]
    script = """
import json, os, sys
keys = ("POD", "IP", "WORD", "MAYBE", "BOTH", "K", "JOB_COMPLETION_INDEX")
found = {key: os.environ.get(key) for key in keys}
found["conf"] = open(os.environ["CONF"]).read() + open(sys.argv[1]).read()
open(sys.argv[2] + "/kept", "w").write("x")
found["secret"] = sorted(os.listdir(sys.argv[3].partition("=")[2]))
json.dump(found, open(sys.argv[4], "w"))
sys.exit(9)
"""
    container = {
        "command": [sys.executable, "-c", script],
        "args": ["/conf/a.txt", "/scratch", "--secret=/secret", "/dev/termination-log"],
        "env": env,
        "volumeMounts": [
            {"name": "conf", "mountPath": "/conf"},
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "secret", "mountPath": "/secret"},
        ],
    }
    volumes = [
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "secret", "secret": {"secretName": "conf"}},
    ]
    run.start(make("", container=container, pod={"volumes": volumes}))
    run.ended()
    (pod,) = run.pods()
    ended = state(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (9, "Error"), ended
    assert json.loads(ended["message"]) == {
        "POD": pod["metadata"]["name"],
        "IP": pod["status"]["podIP"],
        "WORD": "hush",
        "MAYBE": None,
        "BOTH": "hush-$(NONE)-$(WORD)",
        "K": "v",
        "JOB_COMPLETION_INDEX": "0",
        "conf": "AA",
        "secret": ["word"],
    }


@pytest.mark.parametrize(
    ("container", "pod", "expected"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k"}}}]},
            {},
            'secret "none" not found',
        ),
        ({"command": None}, {}, "the container needs a command"),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {"volumes": [{"name": "v", "configMap": {"name": "none"}}]},
            'configmap "none" not found',
        ),
    ],
    ids=["missing-secret", "no-command", "missing-config-map"],
)
def test_a_container_that_cannot_start_says_why(
    run: Run, container: Object, pod: Object, expected: str
) -> None:
    run.start(make("true", container=container, pod=pod))

    def waiting() -> Object | None:
        statuses = [one for found in run.pods() for one in found["status"].get("containerStatuses", ())]
        found: Object | None = next(
            (one["state"]["waiting"] for one in statuses if "message" in one["state"]["waiting"]), None
        )
        return found

    assert expected in wait_for(waiting, 30)["message"]
    assert run.pods()[0]["status"]["phase"] == "Pending"


def test_a_pod_that_fits_nowhere_stays_pending(run: Run) -> None:
    run.start(make("true", container={"resources": {"limits": {"example.dev/rocket": "1"}}}))

    def unscheduled() -> list[Object]:
        found = [one for pod in run.pods() for one in pod["status"].get("conditions", ())]
        return [one for one in found if one["type"] == "PodScheduled" and one["status"] == "False"]

    (condition,) = wait_for(unscheduled, 30)
    assert condition["reason"] == "Unschedulable"
    assert "Insufficient example.dev/rocket" in condition["message"]


def test_a_killed_process_is_a_failure(run: Run) -> None:
    run.start(make("kill -9 $$"))
    status = run.ended()["status"]
    assert status["failedIndexes"] == "0"
    assert state(run.pods()[0])["terminated"]["exitCode"] == 137


@pytest.mark.skipif(REAL, reason="a real cluster starts at 10 s")
def test_backoff_doubles_and_holds_its_slot(run: Run) -> None:
    run.start(make("exit 1", completions=2, parallelism=1, backoffLimitPerIndex=2))
    status = run.ended()["status"]
    assert (status["failed"], status["failedIndexes"]) == (6, "0,1")
    order = sorted(run.pods(), key=lambda pod: int(pod["metadata"]["resourceVersion"]))
    index = "batch.kubernetes.io/job-completion-index"
    assert [pod["metadata"]["labels"][index] for pod in order] == ["0", "0", "0", "1", "1", "1"]


def test_a_job_that_wants_a_replacement_holds_its_namespace(run: Run, api: Api) -> None:
    """Pods go first, alone (KEP-5080), and their Job keeps the last failed one of each index."""
    script = "trap 'exit 75' TERM; while true; do sleep 0.1; done"
    body = make(
        script,
        completions=2,
        parallelism=2,
        backoffLimitPerIndex=5,
        podReplacementPolicy="Failed",
        pod={"terminationGracePeriodSeconds": 10},
    )
    run.start(body)
    run.running(2)
    where = f"/api/v1/namespaces/{run.namespace}"
    assert api("DELETE", where).status_code in (200, 202)
    refused = api(
        "POST", f"{where}/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    )
    answer = refused.json()
    assert (answer["code"], answer["reason"]) == (403, "Forbidden")
    text = f"unable to create new content in namespace {run.namespace} because it is being terminated"
    assert answer["message"] == f'configmaps "c" is forbidden: {text}'
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {run.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    assert cause in answer["details"]["causes"]
    failed = run.until(lambda job: job["status"].get("terminating") == 0 and not job["status"].get("active"))
    assert "deletionTimestamp" not in failed["metadata"]
    left = run.pods()
    assert [pod["status"]["phase"] for pod in left] == ["Failed", "Failed"]
    assert all(pod["metadata"]["deletionTimestamp"] for pod in left)
    assert all(pod["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"] for pod in left)
    assert api("GET", where).json()["status"]["phase"] == "Terminating"
    api("DELETE", jobs(run.namespace, "j"), {"propagationPolicy": "Background"})
    wait_for(lambda: api("GET", where).status_code == 404, 40)
