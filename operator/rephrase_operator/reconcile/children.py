"""The objects that a RephraseJob owns, as manifests: a ConfigMap, and a Job for each step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rephrase_operator import api
from rephrase_operator.api.status import EngineStatus
from rephrase_operator.observed.views import (
    ANNOTATION_GPUS,
    ANNOTATION_HASH,
    LABEL_JOB,
    LABEL_STEP,
    JobObject,
    Step,
)
from rephrase_operator.reconcile.pods import config_name, labels, pod
from rephrase_operator.settings import Settings
from rephrase_worker.spec import EngineSettings, ExitCode, Owner, Prompt, Recipe

_STEP_ATTEMPTS = 4
"""Attempts at a step other than generating. None of them needs a GPU. A permanent failure has an exit code
that says so.
"""


def child_name(job: str, step: Step) -> str:
    """Name of the Job of a step."""
    return f"{job}-{step}"


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
            "template": pod(job, spec, settings, Step.MIX),
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
    template = pod(job, spec, settings, Step.GENERATE, engine)
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
            "template": pod(job, spec, settings, step),
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
        "labels": labels(job, step),
        "ownerReferences": [owner],
    }
