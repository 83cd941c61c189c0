"""What the operator has seen: Jobs, pods and the ConfigMap, reduced on arrival to the fields that are used.

A hundred thousand pods take gigabytes as API objects, and a tenth of that as views. Times have a time zone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, get_args

from pydantic import ValidationError

from rephrase_operator import api
from rephrase_operator.api.status import RephraseJobStatus
from rephrase_operator.observed.intervals import Intervals
from rephrase_worker.spec import ExitCode, Failure, Reason, Report, ShardReport

LABEL_JOB = f"{api.GROUP}/job"
LABEL_STEP = f"{api.GROUP}/step"
LABEL_UID = f"{api.GROUP}/job-uid"
CONTAINER = "worker"
"""Name of the worker's container in our pods."""
LABEL_INDEX = "batch.kubernetes.io/job-completion-index"
ANNOTATION_HASH = f"{api.GROUP}/workers-hash"
ANNOTATION_GPUS = f"{api.GROUP}/gpus-per-worker"

MOST = 10**13
"""The largest number that a report may hold. The sum of a hundred thousand of them fits into 64 bits."""

Raw = Mapping[str, Any]


class Step(StrEnum):
    """The steps of a job; each is a Kubernetes Job."""

    PLAN = "plan"
    GENERATE = "generate"
    FINALIZE = "finalize"
    MIX = "mix"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobObject:
    """A RephraseJob."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleting: bool
    spec: api.RephraseJobSpec | None
    """None if it can't be read; `problem` says why."""
    problem: str
    status: RephraseJobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A Kubernetes Job of ours."""

    namespace: str
    name: str
    uid: str
    job: str
    """Name of the RephraseJob in its label."""
    step: str
    owner_uid: str
    suspended: bool = False
    parallelism: int = 1
    succeeded: Intervals = field(default_factory=Intervals)
    failed_indexes: Intervals = field(default_factory=Intervals)
    complete: bool = False
    failed: bool = False
    failed_reason: str = ""
    failed_message: str = ""
    start_time: datetime | None = None
    ended: datetime | None = None
    """When the Complete or Failed condition was set."""
    workers_hash: str = ""
    gpus: int = 0
    deleting: bool = False
    resource_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A pod of one of our Jobs."""

    namespace: str
    name: str
    uid: str
    job: str
    job_uid: str
    """UID of the RephraseJob in its label."""
    owner_uid: str = ""
    """UID of its Job."""
    step: str
    index: int | None = None
    phase: str = "Pending"
    gone_by: datetime | None = None
    """When its grace period ends, if it was told to stop."""
    ip: str = ""
    node: str = ""
    """Name of the node that it was given to; empty while it has none."""
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    disrupted: bool = False
    """Kubernetes removed the pod (preemption, drain, lost node), so it is not the worker's failure."""
    trouble: str = ""
    """Why it does not start, as the kubelet or the scheduler says: ImagePullBackOff, Unschedulable, ..."""
    trouble_message: str = ""
    end_reason: str = ""
    """OOMKilled, Evicted, Error, ..."""
    termination: str = ""
    """The container's termination message."""
    resource_version: str = ""

    @property
    def deleting(self) -> bool:
        """True once it was told to stop."""
        return self.gone_by is not None

    @property
    def live(self) -> bool:
        """True until it has ended."""
        return self.phase in ("Pending", "Running", "Unknown")

    @property
    def running(self) -> bool:
        """True while its worker runs."""
        return self.phase == "Running" and not self.deleting

    @property
    def counts_as_failure(self) -> bool:
        """True if the worker itself failed. A preemption, a worker that was told to stop, and a pod that was
        removed before it started don't count.
        """
        spared = self.disrupted or self.exit_code == ExitCode.PREEMPTED
        return self.phase == "Failed" and not spared and not (self.deleting and self.started is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigView:
    """The ConfigMap that carries recipe and engine settings."""

    owner_uid: str
    recipe: str
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMap:
    """A ConfigMap of the user's, from which prompts come."""

    keys: frozenset[str]
    """All that it has."""
    texts: Mapping[str, str]
    """The texts of the keys that prompts refer to. Keys with binary data have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """What a running worker reported when it was last asked."""

    report: ShardReport
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything around one RephraseJob."""

    jobs: Mapping[str, JobView] = field(default_factory=dict)
    """By step, also those that another object owns."""
    pods: tuple[PodView, ...] = ()
    config: ConfigView | None = None
    prompt_maps: Mapping[str, PromptMap] = field(default_factory=dict)
    """The user's ConfigMaps that exist, by name. They are read only as long as no recipe is frozen."""
    reports: Mapping[str, LiveReport] = field(default_factory=dict)
    """By pod UID."""
    taken: frozenset[str] = frozenset()
    """Names of children that exist but belong to something else."""
    refused: str = ""
    """Why the API server refused the last action."""
    namespace_ends: bool = False
    """The namespace is being deleted."""

    def of(self, step: Step, uid: str) -> tuple[PodView, ...]:
        """The pods of a step of the RephraseJob with this UID, oldest first."""
        found = (pod for pod in self.pods if pod.step == step and pod.job_uid == uid)
        return tuple(sorted(found, key=lambda pod: (pod.created, pod.name)))


def time_of(text: str | None) -> datetime | None:
    """An API timestamp as a datetime."""
    return datetime.fromisoformat(text) if text else None


def view_rephrase_job(raw: Raw) -> JobObject:
    """The view of a RephraseJob. A spec that can't be read becomes a `problem` and raises nothing."""
    meta = raw["metadata"]
    spec, problem = None, ""
    try:
        spec = api.parse_spec(raw.get("spec") or {})
    except ValidationError as error:
        problem = "; ".join(
            f"spec.{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
            for found in error.errors()[:5]
        )
    return JobObject(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 1),
        resource_version=meta.get("resourceVersion", ""),
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        spec=spec,
        problem=problem,
        status=RephraseJobStatus.model_validate(raw.get("status") or {}),
    )


def view_job(raw: Raw) -> JobView:
    """The view of a Job."""
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    over = {found["type"]: found for found in status.get("conditions") or () if found.get("status") == "True"}
    ending = over.get("Failed") or over.get("Complete") or {}
    return JobView(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        job=labels.get(LABEL_JOB, ""),
        step=labels.get(LABEL_STEP, ""),
        owner_uid=_owner(meta),
        suspended=bool(spec.get("suspend")),
        parallelism=spec.get("parallelism", 1),
        succeeded=Intervals.parse(status.get("completedIndexes") or ""),
        failed_indexes=Intervals.parse(status.get("failedIndexes") or ""),
        complete="Complete" in over,
        failed="Failed" in over,
        failed_reason=over.get("Failed", {}).get("reason", ""),
        failed_message=over.get("Failed", {}).get("message", ""),
        start_time=time_of(status.get("startTime")),
        ended=time_of(ending.get("lastTransitionTime")),
        workers_hash=notes.get(ANNOTATION_HASH, ""),
        gpus=_number(notes.get(ANNOTATION_GPUS)) or 0,
        deleting="deletionTimestamp" in meta,
        resource_version=meta.get("resourceVersion", ""),
    )


def view_pod(raw: Raw) -> PodView:
    """The view of a pod."""
    meta, status = raw["metadata"], raw.get("status") or {}
    labels = meta.get("labels") or {}
    containers = {found["name"]: found for found in status.get("containerStatuses") or ()}
    state = containers.get(CONTAINER, {}).get("state") or {}  # Others were injected (a mesh).
    terminated, running, waiting = (state.get(name) or {} for name in ("terminated", "running", "waiting"))
    held = {found["type"]: found for found in status.get("conditions") or ()}
    trouble, message = _trouble(waiting, held.get("PodScheduled", {}))
    return PodView(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        job=labels.get(LABEL_JOB, ""),
        job_uid=labels.get(LABEL_UID, ""),
        owner_uid=_owner(meta),
        step=labels.get(LABEL_STEP, ""),
        index=_number(labels.get(LABEL_INDEX)),
        phase=status.get("phase", "Pending"),
        gone_by=time_of(meta.get("deletionTimestamp")),
        ip=status.get("podIP") or "",
        node=(raw.get("spec") or {}).get("nodeName") or "",
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        started=time_of(terminated.get("startedAt") or running.get("startedAt")),
        ended=time_of(terminated.get("finishedAt")),
        exit_code=terminated.get("exitCode"),
        disrupted=held.get("DisruptionTarget", {}).get("status") == "True",
        trouble=trouble,
        trouble_message=message[:1024],
        end_reason=terminated.get("reason") or status.get("reason") or "",
        termination=(terminated.get("message") or "")[:4096],
        resource_version=meta.get("resourceVersion", ""),
    )


def view_config(raw: Raw, recipe_key: str, engine_key: str) -> ConfigView:
    """The view of the ConfigMap."""
    data = raw.get("data") or {}
    return ConfigView(
        owner_uid=_owner(raw["metadata"]), recipe=data.get(recipe_key, ""), engine=data.get(engine_key, "")
    )


def view_prompt_map(raw: Raw, wanted: Collection[str]) -> PromptMap:
    """The view of a ConfigMap of the user's, with the texts of these keys."""
    data = raw.get("data") or {}
    keys = frozenset(data) | frozenset(raw.get("binaryData") or {})
    return PromptMap(keys=keys, texts={key: data[key] for key in wanted if key in data})


def read_report(kind: type[Report], text: str) -> Any:
    """What a worker says as a report of this kind; None when it is something else.

    A container can write anything there, and a worker that was killed early has written nothing. A worker can
    be newer than this operator: fields that it added are ignored, and a reason that it added is kept in the
    message.
    """
    try:
        report = kind.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        if [found["loc"] for found in error.errors()] != [("failure", "reason")]:
            return None
        raw = json.loads(text)
        failure = raw["failure"]
        failure["message"] = f"{failure['reason']}: {failure['message']}"
        failure["reason"] = Reason.INTERNAL
        report = kind.model_validate(raw, extra="ignore")
    return report if _is_credible(report.model_dump()) else None


@lru_cache(maxsize=8192)
def termination_report(kind: type[Report], text: str) -> Any:
    """The same of a termination message, which each pass reads again and which does not change any more.

    Without the cache, a pass over a job with many ended pods would spend most of its time on their messages.
    They have at most 4 KiB each, so it takes tens of megabytes at most.
    """
    return read_report(kind, text)


def _is_credible(value: Any) -> bool:
    """False for numbers that no worker can count. Their sum would not fit into a status."""
    if isinstance(value, dict):
        return all(_is_credible(inner) for inner in value.values())
    return not isinstance(value, int | float) or 0 <= value <= MOST


def read_failure(text: str) -> Failure | None:
    """The failure in a worker's termination message, whichever command it ran."""
    for kind in get_args(Report):
        report = termination_report(kind, text)
        if report is not None:
            failure: Failure | None = report.failure
            return failure
    return None


def _number(text: str | None) -> int | None:
    """A number in a label or an annotation. Anybody who may create pods or Jobs can write anything there."""
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def _owner(meta: Raw) -> str:
    return next((owner["uid"] for owner in meta.get("ownerReferences") or () if owner.get("controller")), "")


def _trouble(waiting: Raw, scheduled: Raw) -> tuple[str, str]:
    if scheduled.get("status") == "False":
        return scheduled.get("reason") or "Unschedulable", scheduled.get("message") or ""
    reason = waiting.get("reason") or ""
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return "", ""
    return reason, waiting.get("message") or ""
