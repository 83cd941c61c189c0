"""The pod template of a step: what the job's spec asks for, over the installer's settings.

Where both say something, maps are merged by key and the job's value wins; tolerations are added up, because
they only let a pod run in more places; anything else of the job's replaces the installer's.

Pods name their command in full. They report through /progress and the termination message and never call the
API server, so they get no token.
"""

from __future__ import annotations

from typing import Any

from rephrase_operator import api, pod_defaults
from rephrase_operator.api.worker import Resources, Toleration
from rephrase_operator.observed.views import CONTAINER, LABEL_JOB, LABEL_STEP, LABEL_UID, JobObject, Step
from rephrase_operator.pod_defaults import PodDefaults
from rephrase_operator.reconcile.volumes import Storage, storage
from rephrase_operator.settings import Settings
from rephrase_worker.spec import ENGINE_FILE, RECIPE_FILE, WORKER_PORT, EngineSettings

CONFIG_FOLDER = "/etc/rephrase"
TERMINATION_PATH = "/dev/termination-log"
RECIPE_VOLUME = "recipe"

_COMMIT_SECONDS = 10
"""Seconds of the pod's grace period that are left for the last commit, after the requests in flight."""

_SCRAPED = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(WORKER_PORT),
    "prometheus.io/path": "/metrics",
}

_POD_FIELDS = {
    "POD_NAME": "metadata.name",
    "POD_UID": "metadata.uid",
    "POD_IP": "status.podIP",
    "NODE_NAME": "spec.nodeName",
}


def config_name(job: str) -> str:
    """Name of the ConfigMap."""
    return f"{job}-recipe"


def gpus_per_worker(engine: EngineSettings, defaults: PodDefaults) -> int:
    """GPUs that a worker asks for: none on CPUs, and none for the simulated engine."""
    if not defaults.accelerator_resource or engine.backend == "simulated":
        return 0
    return engine.gpus


def defaults_of(job: JobObject, settings: Settings) -> PodDefaults:
    """The installer's settings that hold for a job: those that it started with."""
    held = job.status.pod_defaults
    return settings.pod_defaults if held is None else pod_defaults.kept(held)


def labels(job: JobObject, step: Step | None) -> dict[str, str]:
    """The labels by which the objects of a job are found."""
    found = {LABEL_JOB: job.name, LABEL_UID: job.uid, "app.kubernetes.io/managed-by": "rephrase-operator"}
    return found | ({LABEL_STEP: str(step)} if step else {})


def pod(
    job: JobObject,
    spec: api.RephraseJobSpec,
    settings: Settings,
    step: Step,
    engine: EngineSettings | None = None,
) -> dict[str, Any]:
    """The template of a step's pods. `engine` is that of a step that runs one; such a pod gets GPUs."""
    defaults = defaults_of(job, settings)
    gpus = gpus_per_worker(engine, defaults) if engine else 0
    disks = storage(spec, step, cache=cache_claim(job.namespace, spec, defaults))
    volumes = [{"name": RECIPE_VOLUME, "configMap": {"name": config_name(job.name)}}, *disks.volumes]
    if engine is not None and engine.backend == "vllm":
        # 64 MiB, the default, are too few. On CPUs vLLM's processes exchange their messages there, and it
        # does not start below 160 MiB; on several GPUs NCCL exchanges tensors there. It counts as memory.
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
    template: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": spec.worker.termination_grace_period_seconds,
        "securityContext": disks.security_context | defaults.pod_security_context,
        "containers": [_container(job, spec, settings, step, engine, disks)],
        "volumes": volumes,
    }
    if defaults.image_pull_secrets:
        template["imagePullSecrets"] = [secret.model_dump() for secret in defaults.image_pull_secrets]
    if priority := spec.worker.priority_class_name or defaults.priority_class_name:
        template["priorityClassName"] = priority
    if gpus and defaults.runtime_class_name:
        template["runtimeClassName"] = defaults.runtime_class_name
    metadata: dict[str, Any] = {"labels": defaults.labels | labels(job, step)}
    scraped = _SCRAPED if step is Step.GENERATE and defaults.scrape_annotations else {}
    if annotations := defaults.annotations | scraped:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": template | _placement(spec, defaults, step)}


def prerequisites(spec: api.RephraseJobSpec, defaults: PodDefaults, *, gpus: int) -> list[str]:
    """What the cluster must have: the API server refuses the pods where it is missing."""
    found = [f"RuntimeClass {defaults.runtime_class_name}"] if gpus and defaults.runtime_class_name else []
    priority = spec.worker.priority_class_name or defaults.priority_class_name
    return [*found, f"PriorityClass {priority}"] if priority else found


def cache_claim(namespace: str, spec: api.RephraseJobSpec, defaults: PodDefaults) -> str | None:
    """The claim that caches the model: the job's own, or else the installer's for a model of the Hub."""
    if spec.worker.model_cache_claim is not None:
        return spec.worker.model_cache_claim
    of_the_hub = not spec.model.name.startswith(("/", "pvc://")) and spec.engine.backend == "vllm"
    there = not defaults.model_cache_namespaces or namespace in defaults.model_cache_namespaces
    return defaults.model_cache_claim if of_the_hub and there else None


def node_selector(spec: api.RephraseJobSpec, defaults: PodDefaults) -> dict[str, str]:
    """Labels of the nodes that workers may run on. What runs no model needs no node with GPUs."""
    with_model = spec.engine.backend != "simulated"
    return (defaults.node_selector if with_model else defaults.step_node_selector) | spec.worker.node_selector


def _placement(spec: api.RephraseJobSpec, defaults: PodDefaults, step: Step) -> dict[str, Any]:
    """Where the pods of a step may run."""
    generating = step is Step.GENERATE
    with_model = generating and spec.engine.backend != "simulated"
    selector = node_selector(spec, defaults) if generating else defaults.step_node_selector
    tolerations = defaults.tolerations if with_model else defaults.step_tolerations
    found: dict[str, Any] = {}
    if tolerated := _added(tolerations, spec.worker.tolerations):
        found["tolerations"] = tolerated
    if selector:
        found["nodeSelector"] = dict(selector)
    return found


def _added(*lists: list[Toleration]) -> list[dict[str, Any]]:
    """Tolerations as in a pod, each once."""
    found: list[dict[str, Any]] = []
    for toleration in (one for tolerations in lists for one in tolerations):
        written = toleration.model_dump(by_alias=True, exclude_none=True)
        if written not in found:
            found.append(written)
    return found


def _container(
    job: JobObject,
    spec: api.RephraseJobSpec,
    settings: Settings,
    step: Step,
    engine: EngineSettings | None,
    disks: Storage,
) -> dict[str, Any]:
    defaults, generating = defaults_of(job, settings), step is Step.GENERATE
    gpus = gpus_per_worker(engine, defaults) if engine else 0
    command = ["rephrase-worker", str(step), "--recipe", f"{CONFIG_FOLDER}/{RECIPE_FILE}"]
    if step in (Step.PLAN, Step.GENERATE):
        command += ["--engine", f"{CONFIG_FOLDER}/{ENGINE_FILE}"]
    mounts = [{"name": RECIPE_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True}, *disks.mounts]
    if engine is not None and engine.backend == "vllm":
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": job.status.worker_image or settings.worker_image,
        "command": command,
        "env": _env(spec.worker, defaults, disks, gpus),
        "terminationMessagePath": TERMINATION_PATH,
        "volumeMounts": mounts,
        "resources": _resources(spec, defaults, gpus) if generating else _step_resources(spec, defaults),
        "securityContext": dict(defaults.container_security_context),
    }
    if defaults.image_pull_policy:
        container["imagePullPolicy"] = defaults.image_pull_policy
    if generating:
        container["ports"] = [{"name": "metrics", "containerPort": WORKER_PORT}]
    return container


def _env(worker: api.Worker, defaults: PodDefaults, disks: Storage, gpus: int) -> list[dict[str, Any]]:
    grace = max(1, worker.termination_grace_period_seconds - _COMMIT_SECONDS)
    ours: list[dict[str, Any]] = [
        *(
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in _POD_FIELDS.items()
        ),
        {"name": "REPHRASE_GPUS", "value": str(gpus)},
        {"name": "TERMINATION_MESSAGE_PATH", "value": TERMINATION_PATH},
        {"name": "TERMINATION_GRACE_SECONDS", "value": str(grace)},
        *disks.env,
    ]
    of_installer: dict[str, Any] = {name: {"value": value} for name, value in defaults.env.items()}
    of_job: dict[str, Any] = {
        variable.name: {"value": variable.value}
        if variable.secret_key_ref is None
        else {"valueFrom": {"secretKeyRef": variable.secret_key_ref.model_dump(by_alias=True)}}
        for variable in worker.env
    }
    given = _for_s3_alone(of_installer) | _for_s3_alone(of_job)
    return ours + [{"name": name, **value} for name, value in given.items()]


def _for_s3_alone(variables: dict[str, Any]) -> dict[str, Any]:
    """The variables with an endpoint that is S3's and no other service's.

    STS would be asked at AWS_ENDPOINT_URL too, and be given the identity token of the pod's cloud.
    """
    every, s3 = "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"
    return {
        s3 if name == every else name: value
        for name, value in variables.items()
        if name != every or s3 not in variables
    }


def _resources(spec: api.RephraseJobSpec, defaults: PodDefaults, gpus: int) -> dict[str, Any]:
    found = _amounts(spec.worker.resources)
    if gpus:
        found["limits"] = found.get("limits", {}) | {defaults.accelerator_resource: gpus}
    return found


def _step_resources(spec: api.RephraseJobSpec, defaults: PodDefaults) -> dict[str, Any]:
    """Never nothing: a namespace with a quota refuses pods that ask for no amounts.

    The job's own replace the installer's as a whole, for a request must not be above its limit.
    """
    installers = {str(kind): amounts for kind, amounts in defaults.step_resources.items()}
    return _amounts(spec.worker.step_resources) or installers


def _amounts(resources: Resources) -> dict[str, Any]:
    found = {"requests": dict(resources.requests), "limits": dict(resources.limits)}
    return {kind: amounts for kind, amounts in found.items() if amounts}
