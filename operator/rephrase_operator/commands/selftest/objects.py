"""What the test creates, as manifests, and what it expects of the job. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rephrase_operator import api
from rephrase_operator.api.status import RephraseJobStatus
from rephrase_operator.observed.views import JobObject, Step
from rephrase_operator.pod_defaults import PodDefaults
from rephrase_operator.reconcile import pods
from rephrase_operator.reconcile.volumes import CLAIMS_FOLDER
from rephrase_operator.settings import Settings

NAME = "rephrase-selftest"
"""Of the RephraseJob, of the claim, and the beginning of the Jobs' names."""

LABEL = "app.kubernetes.io/managed-by"
"""The label with the value NAME by which the test knows its own objects."""

DOCUMENTS = 10
PROMPTS = ("faq", "table")

SEED, VERIFY = f"{NAME}-seed", f"{NAME}-verify"
"""The Jobs that write the documents, and that recount the dataset."""

_FOLDER = f"{CLAIMS_FOLDER}/{NAME}"
_WRITE = f"""\
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
texts = [f"Document {{n}}. The otter swims in the river and eats fish." for n in range({DOCUMENTS})]
path.write_text("".join(json.dumps({{"text": text}}) + chr(10) for text in texts))
"""

_AMOUNTS = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": "1Gi"},
}


@dataclass(frozen=True)
class Trial:
    """One test of an installation."""

    namespace: str
    worker_image: str
    pod_defaults: PodDefaults
    storage_class: str
    """Empty: the cluster's default."""
    storage_size: str
    seconds: int
    """How long the whole may take."""


def claim(trial: Trial) -> dict[str, Any]:
    """The claim that holds source and output."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(trial, NAME),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": trial.storage_size}},
            **({"storageClassName": trial.storage_class} if trial.storage_class else {}),
        },
    }


def rephrase_job(trial: Trial) -> dict[str, Any]:
    """The job."""
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": _metadata(trial, NAME),
        "spec": {
            "source": {"uri": f"pvc://{NAME}/in/documents.jsonl"},
            "prompts": [{"name": name} for name in PROMPTS],
            "model": {"name": "simulated"},
            "output": {"uri": f"pvc://{NAME}/out"},
            "engine": {"backend": "simulated"},
            "worker": {"resources": _AMOUNTS, "stepResources": _AMOUNTS},
            "failurePolicy": {"pendingDeadlineSeconds": max(60, trial.seconds)},
        },
    }


def seed_job(trial: Trial) -> dict[str, Any]:
    """The Job that writes the documents into the claim."""
    return _job(trial, SEED, ["python3", "-c", _WRITE, f"{_FOLDER}/in/documents.jsonl"])


def verify_job(trial: Trial) -> dict[str, Any]:
    """The Job that recounts the dataset, with what the worker's image has for it."""
    return _job(trial, VERIFY, ["rephrase", "verify", f"{_FOLDER}/out"])


def shortcomings(status: RephraseJobStatus) -> list[str]:
    """What is wrong with a job that has succeeded."""
    dataset = status.dataset
    if dataset is None:
        return ["The status has no account of the dataset."]
    wanted = {
        "documents": DOCUMENTS,
        "samples_text": DOCUMENTS * len(PROMPTS),
        "samples_error": 0,
        "samples_filtered": 0,
    }
    return [
        f"{name} is {getattr(dataset, name)}, and {expected} are expected."
        for name, expected in wanted.items()
        if getattr(dataset, name) != expected
    ]


def _job(trial: Trial, name: str, command: list[str]) -> dict[str, Any]:
    """A Job with a pod like those that finalize: the same image, settings and claim, but another command."""
    spec = api.parse_spec(rephrase_job(trial)["spec"])
    like = JobObject(
        namespace=trial.namespace,
        name=NAME,
        uid="",
        generation=1,
        resource_version="",
        created=datetime.fromtimestamp(0, UTC),
        deleting=False,
        spec=spec,
        problem="",
        status=RephraseJobStatus(),
    )
    settings = Settings(worker_image=trial.worker_image, pod_defaults=trial.pod_defaults)
    template = pods.pod(like, spec, settings, Step.FINALIZE)
    # Not the labels of a job's pods: the operator would take this Job for one of its own.
    template["metadata"]["labels"] = trial.pod_defaults.labels | {LABEL: NAME}
    pod = template["spec"]
    (container,) = pod["containers"]
    container |= {"command": command, "terminationMessagePolicy": "FallbackToLogsOnError"}
    for parts, volumes in ((pod, "volumes"), (container, "volumeMounts")):
        parts[volumes] = [volume for volume in parts[volumes] if volume["name"] != pods.RECIPE_VOLUME]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(trial, name),
        "spec": {"backoffLimit": 2, "template": template},
    }


def _metadata(trial: Trial, name: str) -> dict[str, Any]:
    return {"namespace": trial.namespace, "name": name, "labels": {LABEL: NAME}}
