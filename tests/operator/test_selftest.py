"""`rephrase selftest`: what it makes, what it says when something does not work, and that it cleans up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any

import kubernetes_validate
import pytest

from rephrase_operator.cli import main
from rephrase_operator.cluster.kube import ApiError
from rephrase_operator.commands.selftest import course, objects
from rephrase_operator.commands.selftest.objects import Trial
from rephrase_operator.library import library
from rephrase_operator.pod_defaults import PodDefaults
from tests.operator.fake_kube import FakeKube

TRIAL = Trial(
    namespace="team-a",
    worker_image="worker:1",
    pod_defaults=PodDefaults.model_validate(
        {
            "imagePullSecrets": [{"name": "registry"}],
            "runtimeClassName": "nvidia",
            "nodeSelector": {"pool": "gpu"},
            "stepNodeSelector": {"pool": "cpu"},
            "stepTolerations": [{"key": "batch", "operator": "Exists"}],
            "modelCacheClaim": "models",
            "labels": {"team": "data"},
        }
    ),
    storage_class="",
    storage_size="1Gi",
    seconds=60,
)
CLAIM = "/api/v1/namespaces/team-a/persistentvolumeclaims/rephrase-selftest"
JOB = "/apis/rephrase.dev/v1alpha1/namespaces/team-a/rephrasejobs/rephrase-selftest"
WHOLE = {"documents": 10, "samplesText": 20}
DONE = {"phase": "Succeeded", "message": "10 documents, 20 texts, 0 errors.", "dataset": WHOLE}


class Installation(FakeKube):
    """An API server with an operator and a Job controller behind it, which finish what they get at once."""

    def __init__(self, status: Mapping[str, Any] | None = None, *, fails: str = "") -> None:
        super().__init__()
        self._status, self._fails = DONE if status is None else status, fails

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "",
    ) -> Any:
        if method == "POST" and body["kind"] == "Job":
            ending = "Failed" if body["metadata"]["name"].endswith(self._fails or "-") else "Complete"
            held = {"type": ending, "status": "True", "message": "backoff limit exceeded"}
            body = body | {"status": {"conditions": [held]}}
        if method == "POST" and body["kind"] == "RephraseJob":
            body = body | {"status": self._status}
        return await super().request(method, path, query=query, body=body, content_type=content_type)

    def made(self) -> list[str]:
        return [path.rpartition("/")[2] for method, path in self.requests if method == "POST"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "POLL_SECONDS", 0)


async def outcome(
    installation: FakeKube, capsys: pytest.CaptureFixture[str], *, trial: Trial = TRIAL, keep: bool = False
) -> tuple[int, str]:
    """The exit code, and what was printed."""
    code = await course.conduct(installation, trial, keep=keep)  # type: ignore[arg-type]
    said = capsys.readouterr()
    return code, said.out + said.err


async def test_a_job_that_succeeds_is_recounted_and_everything_is_removed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    installation = Installation()
    code, said = await outcome(installation, capsys)
    assert code == 0
    assert "SUCCEEDED: 10 documents, 20 texts, 0 errors." in said
    assert installation.made() == ["persistentvolumeclaims", "jobs", "rephrasejobs", "jobs"]
    assert installation.objects == {}


async def test_it_can_be_kept_to_be_looked_at_and_the_next_test_removes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    installation = Installation()
    code, said = await outcome(installation, capsys, keep=True)
    assert (code, len(installation.objects)) == (0, 4)
    assert "kubectl get rephrasejobs,jobs,pods,pvc -n team-a" in said
    assert (await outcome(installation, capsys))[0] == 0
    assert installation.objects == {}


async def test_a_job_that_fails_is_told_with_its_conditions_and_removed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    held = {
        "type": "WorkersReady",
        "status": "False",
        "reason": "ImagePullBackOff",
        "message": "no such image",
    }
    status = {
        "phase": "Failed",
        "message": "No pod could run.",
        "conditions": [held | {"lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }
    installation = Installation(status)
    code, said = await outcome(installation, capsys)
    assert code == 1
    assert "FAILED: the job failed: No pod could run." in said
    assert "WorkersReady=False ImagePullBackOff: no such image" in said
    assert installation.objects == {}


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (WHOLE | {"documents": 9}, "documents is 9, and 10 are expected"),
        (WHOLE | {"samplesText": 18, "samplesError": 2}, "samples_error is 2, and 0 are expected"),
        (None, "no account of the dataset"),
    ],
)
async def test_a_dataset_that_is_not_whole_is_no_success(
    dataset: dict[str, int] | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = await outcome(Installation(DONE | {"dataset": dataset}), capsys)
    assert code == 1
    assert said in output


@pytest.mark.parametrize(("fails", "doing"), [("seed", "writing the documents"), ("verify", "recounting")])
async def test_a_pod_that_fails_is_told_by_its_last_words(
    fails: str, doing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    installation = Installation(fails=f"-{fails}")
    ended = {"exitCode": 1, "message": "Permission denied: /pvc\n"}
    statuses = [{"name": "worker", "state": {"terminated": ended}}]
    pod = {"name": "p-1", "namespace": "team-a", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    seen = {"metadata": pod, "status": {"phase": "Failed", "containerStatuses": statuses}}
    installation.pages = [{"items": [seen]}]
    code, said = await outcome(installation, capsys)
    assert code == 1
    assert f"FAILED: {doing}" in said
    assert "Pod p-1, Failed: Permission denied: /pvc\n" in said
    assert installation.objects == {}


async def test_a_namespace_that_no_operator_serves_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    installation = Installation({})
    hurried = Trial(**(vars(TRIAL) | {"seconds": 0.2}))
    code, said = await outcome(installation, capsys, trial=hurried)
    assert code == 1
    assert "rephrasing was not done after 0.2 s" in said
    assert "does it serve the namespace team-a (watchNamespaces of the chart)?" in said
    assert installation.objects == {}


async def test_a_test_that_is_told_to_stop_removes_what_it_has_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    installation = Installation({"phase": "Planning"})
    running = asyncio.ensure_future(outcome(installation, capsys))
    await installation.watched.get()
    os.kill(os.getpid(), signal.SIGTERM)
    code, said = await running
    assert (code, installation.objects) == (1, {})
    assert "FAILED: it was told to stop" in said


async def test_what_is_not_of_the_test_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    installation = Installation()
    installation.store(CLAIM, {"metadata": {"name": "rephrase-selftest"}})
    code, said = await outcome(installation, capsys)
    assert code == 1
    assert f"{CLAIM} exists and is not of this test" in said
    assert list(installation.objects) == [CLAIM]
    assert installation.made() == []


async def test_a_missing_right_is_told_in_the_words_of_the_api_server(
    capsys: pytest.CaptureFixture[str],
) -> None:
    installation = Installation()
    installation.fail["POST jobs"] = [ApiError(403, "Forbidden", 'jobs.batch is forbidden: User "u"')]
    code, said = await outcome(installation, capsys)
    assert code == 1
    assert 'https://127.0.0.1:6443: jobs.batch is forbidden: User "u"' in said
    assert installation.objects == {}


async def test_a_cluster_without_the_kind_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    installation = Installation()
    installation.fail["POST rephrasejobs"] = [ApiError(404, "NotFound", "the server could not find it")]
    code, said = await outcome(installation, capsys)
    assert code == 1
    assert "there is no kind RephraseJob or no namespace team-a" in said


async def test_a_claim_that_does_not_go_fails_the_test(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Held(Installation):
        async def request(self, method: str, path: str, **rest: Any) -> Any:
            if (method, path) == ("DELETE", CLAIM):
                return {}
            return await super().request(method, path, **rest)

    monkeypatch.setattr(course, "CLEAN_UP_SECONDS", 0.05)
    code, said = await outcome(Held(), capsys)
    assert code == 1
    assert (
        "not cleaned up: persistentvolumeclaims/rephrase-selftest in team-a: deleted, and still there" in said
    )


@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_kubernetes_knows_every_field(version: str) -> None:
    for manifest in (objects.claim(TRIAL), objects.seed_job(TRIAL), objects.verify_job(TRIAL)):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_its_pods_are_like_those_of_jobs_but_are_not_taken_for_them() -> None:
    for manifest in (objects.seed_job(TRIAL), objects.verify_job(TRIAL)):
        template = manifest["spec"]["template"]
        pod = template["spec"]
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["nodeSelector"] == {"pool": "cpu"}
        assert pod["tolerations"] == [{"key": "batch", "operator": "Exists"}]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["fsGroup"] == 10001
        assert "runtimeClassName" not in pod
        assert pod["containers"][0]["image"] == "worker:1"
        claims = [
            one["persistentVolumeClaim"]["claimName"]
            for one in pod["volumes"]
            if "persistentVolumeClaim" in one
        ]
        assert claims == ["rephrase-selftest"]
        assert "recipe" not in [one["name"] for one in pod["volumes"]], "there is none yet"
        labels = manifest["metadata"]["labels"] | template["metadata"]["labels"]
        assert not any(key.startswith("rephrase.dev/") for key in labels)
        assert labels["team"] == "data"


def test_the_job_asks_for_prompts_of_the_library_and_for_nothing_of_the_internet() -> None:
    spec = objects.rephrase_job(TRIAL)["spec"]
    assert {prompt["name"] for prompt in spec["prompts"]} <= library().keys()
    assert [spec[part]["uri"][:6] for part in ("source", "output")] == ["pvc://", "pvc://"]
    assert (spec["model"]["name"], spec["engine"]["backend"]) == ("simulated", "simulated")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--pod-defaults={"], "--pod-defaults: Invalid JSON"),
        (['--pod-defaults={"tolerations":[{"kye":"a"}]}'], "--pod-defaults: tolerations.0.kye"),
        (["--timeout=0"], "--timeout: a number above 0"),
    ],
)
def test_flags_that_are_wrong(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["selftest", "--namespace=a", "--worker-image=w", *flags])
    assert said in capsys.readouterr().err
