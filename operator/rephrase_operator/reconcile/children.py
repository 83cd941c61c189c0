"""The objects that a RephraseJob owns, as manifests: a ConfigMap, and a Job for each step.

Pods name their command in full. They report through /progress and the termination message and never call the
API server, so they get no token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rephrase_operator import api
from rephrase_operator.api.status import EngineStatus
from rephrase_operator.api.worker import Resources
from rephrase_operator.observed.views import (
    ANNOTATION_GPUS,
    ANNOTATION_HASH,
    CONTAINER,
    LABEL_JOB,
    LABEL_STEP,
    LABEL_UID,
    JobObject,
    Step,
)
from rephrase_operator.reconcile.volumes import Storage, storage
from rephrase_operator.settings import Settings
from rephrase_worker.spec import (
    ENGINE_FILE,
    RECIPE_FILE,
    WORKER_PORT,
    EngineSettings,
    ExitCode,
    Owner,
    Prompt,
    Recipe,
)

CONFIG_FOLDER = "/etc/rephrase"
TERMINATION_PATH = "/dev/termination-log"

_COMMIT_SECONDS = 10
"""Seconds of the pod's grace period that are left for the last commit, after the requests in flight."""

_STEP_ATTEMPTS = 4
"""Attempts at a step other than generating. None of them needs a GPU. A permanent failure has an exit code
that says so.
"""


def child_name(job: str, step: Step) -> str:
    """Name of the Job of a step."""
    return f"{job}-{step}"


def config_name(job: str) -> str:
    """Name of the ConfigMap."""
    return f"{job}-recipe"


def gpus_per_worker(engine: EngineSettings, settings: Settings) -> int:
    """GPUs that a worker asks for: none on CPUs, and none for the simulated engine."""
    if not settings.accelerator_resource or engine.backend == "simulated":
        return 0
    return engine.gpus


def selector(job: str) -> str:
    """Label selector of a job's workers."""
    return f"{LABEL_JOB}={job},{LABEL_STEP}={Step.GENERATE}"


def recipe_of(
    job: JobObject, spec: api.RephraseJobSpec, prompts: Sequence[Prompt], engine: EngineStatus | None
) -> Recipe:
    """The recipe to freeze, with its prompts resolved, and what is expected of its engine."""
    return Recipe(
        job=Owner(namespace=job.namespace, name=job.name),
        source=spec.source,
        prompts=list(prompts),
        model=spec.model,
        sampling=spec.sampling,
        output=spec.output,
        sharding=spec.sharding,
        parallelism=max(1, spec.parallelism),
        tokens_per_second_per_gpu=engine.tokens_per_second_per_gpu if engine else None,
        mix=spec.mix,
        publish=spec.publish,
    )


def config_map(job: JobObject, files: Mapping[str, str]) -> dict[str, Any]:
    """The ConfigMap that every pod mounts, with these files."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(job, config_name(job.name)),
        "data": dict(files),
    }


def plan_job(job: JobObject, spec: api.RephraseJobSpec, settings: Settings) -> dict[str, Any]:
    """The Job that freezes the plan."""
    return _single(job, spec, settings, Step.PLAN)


def finalize_job(job: JobObject, spec: api.RephraseJobSpec, settings: Settings) -> dict[str, Any]:
    """The Job that adds everything up."""
    return _single(job, spec, settings, Step.FINALIZE)


def mix_job(job: JobObject, spec: api.RephraseJobSpec, settings: Settings, *, shards: int) -> dict[str, Any]:
    """The Indexed Job that mixes: index i is shard i. One shard that can't be made fails it.

    Mixing needs no GPU and starts a shard again without loss, so Kubernetes' own count of attempts will do.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(job, child_name(job.name, Step.MIX), Step.MIX),
        "spec": {
            "completionMode": "Indexed",
            "completions": shards,
            "parallelism": mix_parallelism(spec, shards),
            "backoffLimitPerIndex": _STEP_ATTEMPTS - 1,
            "maxFailedIndexes": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": _failure_policy(data="FailIndex"),
            "template": _pod(job, spec, settings, Step.MIX),
        },
    }


def mix_parallelism(spec: api.RephraseJobSpec, shards: int) -> int:
    """Pods that mix at a time: as many as the job has workers, but never none."""
    return max(1, min(spec.parallelism, shards))


def publish_job(job: JobObject, spec: api.RephraseJobSpec, settings: Settings) -> dict[str, Any]:
    """The Job that puts the dataset on the Hub."""
    return _single(job, spec, settings, Step.PUBLISH)


def generate_job(
    job: JobObject,
    spec: api.RephraseJobSpec,
    settings: Settings,
    engine: EngineSettings,
    *,
    shards: int,
    suspended: bool,
) -> dict[str, Any]:
    """The Indexed Job of the workers: index i is shard i. `engine` is resolved."""
    template = _pod(job, spec, settings, Step.GENERATE, engine)
    policy = spec.failure_policy
    frozen: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": shards,
        "backoffLimitPerIndex": policy.max_attempts_per_shard - 1,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": _failure_policy(data="FailIndex"),
        "template": template,
    }
    if policy.max_failed_shards is not None:
        # The API server refuses a number above that of the indexes.
        frozen["maxFailedIndexes"] = min(policy.max_failed_shards, shards)
    metadata = _metadata(job, child_name(job.name, Step.GENERATE), Step.GENERATE)
    metadata["annotations"] = {
        ANNOTATION_HASH: workers_hash(frozen),
        ANNOTATION_GPUS: str(engine.gpus),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"parallelism": spec.parallelism, "suspend": suspended, **frozen},
    }


def workers_hash(frozen: dict[str, Any]) -> str:
    """Hash of what can't change in a Job that exists."""
    return hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()[:16]


def _single(job: JobObject, spec: api.RephraseJobSpec, settings: Settings, step: Step) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(job, child_name(job.name, step), step),
        "spec": {
            "backoffLimit": _STEP_ATTEMPTS - 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": _failure_policy(data="FailJob"),
            "template": _pod(job, spec, settings, step),
        },
    }


def _failure_policy(*, data: str) -> dict[str, Any]:
    """The first rule that matches applies. A disruption or a requested stop (exit code 75) is no failure."""

    def on(action: str, *codes: ExitCode) -> dict[str, Any]:
        return {"action": action, "onExitCodes": {"operator": "In", "values": sorted(codes)}}

    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            on("Ignore", ExitCode.PREEMPTED),
            on("FailJob", ExitCode.USAGE, ExitCode.CONFIG),
            on(data, ExitCode.DATA),
        ]
    }


def _metadata(job: JobObject, name: str, step: Step | None = None) -> dict[str, Any]:
    owner = {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "namespace": job.namespace,
        "name": name,
        "labels": _labels(job, step),
        "ownerReferences": [owner],
    }


def _labels(job: JobObject, step: Step | None) -> dict[str, str]:
    labels = {LABEL_JOB: job.name, LABEL_UID: job.uid, "app.kubernetes.io/managed-by": "rephrase-operator"}
    return labels | ({LABEL_STEP: str(step)} if step else {})


def _pod(
    job: JobObject,
    spec: api.RephraseJobSpec,
    settings: Settings,
    step: Step,
    engine: EngineSettings | None = None,
) -> dict[str, Any]:
    """A pod of a step. `engine` is that of a step that runs one, and such a pod gets GPUs."""
    worker = spec.worker
    generating = step is Step.GENERATE
    command = ["rephrase-worker", str(step), "--recipe", f"{CONFIG_FOLDER}/{RECIPE_FILE}"]
    if step in (Step.PLAN, Step.GENERATE):
        command += ["--engine", f"{CONFIG_FOLDER}/{ENGINE_FILE}"]
    disks, gpus = storage(spec, step), gpus_per_worker(engine, settings) if engine else 0
    volumes = [{"name": "recipe", "configMap": {"name": config_name(job.name)}}, *disks.volumes]
    mounts = [{"name": "recipe", "mountPath": CONFIG_FOLDER, "readOnly": True}, *disks.mounts]
    if engine is not None and engine.gpus > 1:
        # NCCL exchanges tensors between the GPUs of a pod here; the default 64 MiB are too few.
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": job.status.worker_image or settings.worker_image,
        "command": command,
        "env": _env(worker, disks, gpus),
        "terminationMessagePath": TERMINATION_PATH,
        "volumeMounts": mounts,
        "resources": _resources(spec, settings, gpus) if generating else _step_resources(spec, settings),
        "securityContext": dict(settings.container_security_context),
    }
    if generating:
        container["ports"] = [{"name": "metrics", "containerPort": WORKER_PORT}]
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": worker.termination_grace_period_seconds,
        "securityContext": disks.security_context | dict(settings.pod_security_context),
        "containers": [container],
        "volumes": volumes,
    }
    if worker.priority_class_name:
        pod["priorityClassName"] = worker.priority_class_name
    if worker.tolerations:
        pod["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True) for toleration in worker.tolerations
        ]
    if generating and worker.node_selector:
        pod["nodeSelector"] = dict(worker.node_selector)
    metadata: dict[str, Any] = {"labels": _labels(job, step)}
    if generating and settings.scrape_annotations:
        metadata["annotations"] = {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(WORKER_PORT),
            "prometheus.io/path": "/metrics",
        }
    return {"metadata": metadata, "spec": pod}


def _env(worker: api.Worker, disks: Storage, gpus: int) -> list[dict[str, Any]]:
    fields = {
        "POD_NAME": "metadata.name",
        "POD_UID": "metadata.uid",
        "POD_IP": "status.podIP",
        "NODE_NAME": "spec.nodeName",
    }
    env: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
    ]
    grace = max(1, worker.termination_grace_period_seconds - _COMMIT_SECONDS)
    env.append({"name": "REPHRASE_GPUS", "value": str(gpus)})
    env.append({"name": "TERMINATION_MESSAGE_PATH", "value": TERMINATION_PATH})
    env.append({"name": "TERMINATION_GRACE_SECONDS", "value": str(grace)})
    env += disks.env
    given = {variable.name for variable in worker.env}
    for variable in worker.env:
        name = variable.name
        if name == "AWS_ENDPOINT_URL":
            # For S3 alone. STS would be asked there too, and be given the identity token of the pod's cloud.
            name = "AWS_ENDPOINT_URL_S3"
            if name in given:
                continue
        if variable.secret_key_ref is None:
            env.append({"name": name, "value": variable.value})
        else:
            key = variable.secret_key_ref.model_dump(by_alias=True)
            env.append({"name": name, "valueFrom": {"secretKeyRef": key}})
    return env


def _resources(spec: api.RephraseJobSpec, settings: Settings, gpus: int) -> dict[str, Any]:
    found = _amounts(spec.worker.resources)
    if gpus:
        found["limits"] = found.get("limits", {}) | {settings.accelerator_resource: gpus}
    return found


def _step_resources(spec: api.RephraseJobSpec, settings: Settings) -> dict[str, Any]:
    """Never nothing: a namespace with a quota refuses pods that ask for no amounts.

    The job's own replace the installer's as a whole, for a request must not be above its limit.
    """
    return _amounts(spec.worker.step_resources) or dict(settings.step_resources)


def _amounts(resources: Resources) -> dict[str, Any]:
    found = {"requests": dict(resources.requests), "limits": dict(resources.limits)}
    return {kind: amounts for kind, amounts in found.items() if amounts}
