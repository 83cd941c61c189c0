"""The metrics of a job, one entry each: how it is called, what it means, and where its values come from.

docs/reference/metrics.md is made from these entries, so a metric is documented where it is declared.

A counter never falls, and never starts again, whatever happens to the operator. Prometheus takes a counter
that falls for one that started again from zero, and adds all of it once more; `rate()` then shows a leap. So:

1. Every value is read from the object as it is in the API, never from memory and never from a decision that
   is not written yet. Whichever process exports a job, before or after a restart, exports a value of the same
   history.
2. In this history no count falls. A status is written over the version that it was made from, and its counts
   are at least those of that version. `observed.progress`, `observed.tally` and `observed.spending` see to
   it while the job runs, `status.counted` when it ends.
3. A process that has just started exports nothing of a job until it has read it, instead of zero. And only
   the process that holds the Lease exports jobs, so no two of them tell different moments at once.

What the workers did while no operator ran is counted by the first pass afterwards. That is a true increase.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import (
    ERROR_CODES_LIMIT,
    NODES_LIMIT,
    REASONS_LIMIT,
    Phase,
)
from rephrase_operator.observed.tally import OTHER
from rephrase_worker.spec import PROMPTS_LIMIT

Series = Iterable[tuple[Sequence[str], float]]
"""Values by the values of a metric's own labels."""


@dataclass(frozen=True, kw_only=True)
class ShownJob:
    """A RephraseJob as it is in the API."""

    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    def part(self, name: str) -> Mapping[str, Any]:
        """A part of the status; empty while it is unset."""
        return self.status.get(name) or {}


Read = Callable[[ShownJob], Series]


class Label(NamedTuple):
    """A label, and how many values it can have."""

    meaning: str
    most: int
    """Most values at one time: for one job, or of this process where the metric is not a job's."""


JOB_LABELS = {"namespace": "of the RephraseJob", "job": "its name"}
"""Labels of every metric of a job."""


@dataclass(frozen=True, kw_only=True)
class JobMetric:
    """One metric of a job."""

    name: str
    """Without the suffix `_total`, which Prometheus' text format adds to counters."""
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily] = GaugeMetricFamily
    unit: str
    help: str
    labels: Mapping[str, Label] = field(default_factory=dict)
    """The labels beside JOB_LABELS."""
    read: Read

    @property
    def most_series(self) -> int:
        """Most series of one job at one time."""
        return math.prod(label.most for label in self.labels.values())


def _one(value: float | None, *labels: str) -> Series:
    """One series, or none while the value is unset."""
    return [] if value is None else [(labels, float(value))]


def _figure(part: str, name: str) -> Read:
    """A figure in a part of the status."""
    return lambda job: _one(job.part(part).get(name))


def _count(name: str) -> Read:
    """A count of progress that does not fall when the job ends."""
    return lambda job: _one((job.part("counted") or job.part("progress")).get(name))


def _moment(name: str) -> Read:
    """A moment in the status."""

    def read(job: ShownJob) -> Series:
        text = job.status.get(name)
        return _one(None if text is None else datetime.fromisoformat(text).timestamp())

    return read


def _counts(part: str, name: str) -> Read:
    """A map of counts in a part of the status."""
    return lambda job: [
        ((key,), float(count)) for key, count in sorted((job.part(part).get(name) or {}).items())
    ]


def _texts(name: str) -> Read:
    """A figure of status.quality by prompt. Names that only a worker knows of are not shown."""

    def read(job: ShownJob) -> Series:
        quality = job.part("quality")
        asked = [prompt["name"] for prompt in job.spec.get("prompts") or ()]
        return [
            ((prompt,), float(quality[prompt][name])) for prompt in asked if name in quality.get(prompt, ())
        ]

    return read


def _price(name: str) -> Read:
    """A figure of spec.cost in its currency."""

    def read(job: ShownJob) -> Series:
        policy = job.spec.get("cost") or {}
        return _one(policy.get(name), policy.get("currency", ""))

    return read


def _budget_gpu_seconds(job: ShownJob) -> Series:
    hours = (job.spec.get("cost") or {}).get("maxGpuHours")
    return _one(None if hours is None else hours * 3600)


def _estimated_gpu_seconds(job: ShownJob) -> Series:
    hours = job.part("estimate").get("gpuHours")
    return _one(None if hours is None else hours["expected"] * 3600)


def _cost(job: ShownJob) -> Series:
    cost = job.part("cost")
    return _one(cost.get("cost"), cost.get("currency", ""))


def _info(job: ShownJob) -> Series:
    engine = job.part("engine")
    model = (job.spec.get("model") or {}).get("name", "")
    return _one(1, model, engine.get("gpu", ""), engine.get("profile", ""))


def _phases(job: ShownJob) -> Series:
    return [((phase.value,), float(job.status.get("phase") == phase)) for phase in Phase]


def _conditions(job: ShownJob) -> Series:
    held = {condition["type"]: condition["status"] for condition in job.status.get("conditions") or ()}
    return [
        ((kind.value,), float(held[kind] == "True"))
        for kind in ConditionType
        if held.get(kind) in ("True", "False")
    ]


def _samples(job: ShownJob) -> Series:
    counted, progress = job.part("counted"), job.part("progress")
    if not progress:
        return []
    # An operator without status.counted has finalized the job: these were texts until then.
    left_out = 0 if counted else progress.get("samplesFiltered", 0)
    shown = counted or progress
    return [(("text",), shown["samplesText"] + left_out), (("error",), shown["samplesError"])]


_SHARD_STATES = ("succeeded", "failed", "running", "pending")


def _shards(job: ShownJob) -> Series:
    shards = job.part("shards")
    return [((state,), shards.get(state, 0)) for state in _SHARD_STATES]


_PROMPT = {"prompt": Label("name of the prompt", PROMPTS_LIMIT)}
_CURRENCY = {"currency": Label("of the price, as three letters of ISO 4217", 1)}


def _one_of(values: Iterable[str]) -> Label:
    found = list(values)
    return Label("`" + "`, `".join(found) + "`", len(found))


def _first(limit: int, meaning: str) -> Label:
    """Names that are not known before: the first ones of the job, then OTHER."""
    return Label(f"{meaning}; the first {limit} of the job, then `{OTHER}`", limit + 1)


_STATE = (
    JobMetric(
        name="rephrase_job_info",
        unit="1",
        help="What the job runs.",
        labels={
            "model": Label("spec.model.name", 1),
            "gpu": Label("the GPU that the engine's settings are for, or CPU", 1),
            "profile": Label("the engine profile that was applied", 1),
        },
        read=_info,
    ),
    JobMetric(
        name="rephrase_job_phase",
        unit="0 or 1",
        help="1 for the phase that the job is in, 0 for the others.",
        labels={"phase": _one_of(Phase)},
        read=_phases,
    ),
    JobMetric(
        name="rephrase_job_condition",
        unit="0 or 1",
        help="1 while the condition is True, 0 while it is False. No series while it is Unknown or unset.",
        labels={"condition": _one_of(ConditionType)},
        read=_conditions,
    ),
    JobMetric(
        name="rephrase_job_start_timestamp_seconds",
        unit="seconds since 1970",
        help="When planning began.",
        read=_moment("startTime"),
    ),
    JobMetric(
        name="rephrase_job_completion_timestamp_seconds",
        unit="seconds since 1970",
        help="When the job succeeded or failed.",
        read=_moment("completionTime"),
    ),
    JobMetric(
        name="rephrase_job_nothing_runs_since_timestamp_seconds",
        unit="seconds since 1970",
        help="Since when no pod of the present step runs although one should.",
        read=_moment("nothingRunsSince"),
    ),
)

_PROGRESS = (
    JobMetric(
        name="rephrase_job_progress_ratio",
        unit="ratio, 0 to 1",
        help="Share of the samples that are finished.",
        read=_figure("progress", "ratio"),
    ),
    JobMetric(
        name="rephrase_job_planned_documents",
        unit="documents",
        help="Documents of the source.",
        read=_figure("progress", "documentsPlanned"),
    ),
    JobMetric(
        name="rephrase_job_planned_samples",
        unit="samples",
        help="Documents, times prompts, times rollouts.",
        read=_figure("progress", "samplesPlanned"),
    ),
    JobMetric(
        name="rephrase_job_output_tokens_per_second",
        unit="tokens/s",
        help="Output tokens per second of all workers together.",
        read=_figure("progress", "tokensPerSecond"),
    ),
    JobMetric(
        name="rephrase_job_output_tokens_per_second_per_gpu",
        unit="tokens/s",
        help="Output tokens per second and GPU.",
        read=_figure("progress", "tokensPerSecondPerGpu"),
    ),
    JobMetric(
        name="rephrase_job_expected_output_tokens_per_second_per_gpu",
        unit="tokens/s",
        help="Output tokens per second and GPU that the engine's profile promises, start-up left out. No "
        "series on CPUs and on unknown GPUs.",
        read=_figure("engine", "tokensPerSecondPerGpu"),
    ),
    JobMetric(
        name="rephrase_job_eta_seconds",
        unit="seconds",
        help="Time left at the mean pace of the workers.",
        read=_figure("progress", "etaSeconds"),
    ),
    JobMetric(
        name="rephrase_job_workers",
        unit="pods",
        help="Workers that are running.",
        read=_figure("progress", "workers"),
    ),
    JobMetric(
        name="rephrase_job_pending_workers",
        unit="pods",
        help="Worker pods that exist and don't run yet.",
        read=_figure("progress", "pendingWorkers"),
    ),
    JobMetric(
        name="rephrase_job_gpus",
        unit="GPUs",
        help="GPUs that the running workers hold; 0 on CPUs.",
        read=_figure("progress", "gpus"),
    ),
    JobMetric(
        name="rephrase_job_shards",
        unit="shards",
        help="Shards by state.",
        labels={"state": _one_of(_SHARD_STATES)},
        read=_shards,
    ),
)

_QUALITY = (
    JobMetric(
        name="rephrase_job_structure_ratio",
        unit="ratio, 0 to 1",
        help="Share of a prompt's texts that have the structure that the prompt asks for.",
        labels=_PROMPT,
        read=_texts("structureRate"),
    ),
    JobMetric(
        name="rephrase_job_top_opening_ratio",
        unit="ratio, 0 to 1",
        help="Share of a prompt's texts that begin with the most frequent first sentence, at least.",
        labels=_PROMPT,
        read=_texts("topOpeningShare"),
    ),
)

_COST = (
    JobMetric(
        name="rephrase_job_gpu_seconds",
        kind=CounterMetricFamily,
        unit="seconds",
        help="Time that worker pods held GPUs, times their number: failed pods and start-up included. On "
        "CPUs, time of the pods.",
        read=_figure("cost", "gpuSeconds"),
    ),
    JobMetric(
        name="rephrase_job_estimated_gpu_seconds",
        unit="seconds",
        help="What the whole job is expected to take of that. No series where no pace is known.",
        read=_estimated_gpu_seconds,
    ),
    JobMetric(
        name="rephrase_job_budget_gpu_seconds",
        unit="seconds",
        help="What the job may take of that: spec.cost.maxGpuHours. No series where it is unset.",
        read=_budget_gpu_seconds,
    ),
    JobMetric(
        name="rephrase_job_gpu_hour_price",
        unit="the currency's",
        help="Price of a GPU for an hour: spec.cost.gpuHourPrice. No series where it is unset.",
        labels=_CURRENCY,
        read=_price("gpuHourPrice"),
    ),
    JobMetric(
        name="rephrase_job_cost",
        unit="the currency's",
        help="GPU-hours spent, times spec.cost.gpuHourPrice.",
        labels=_CURRENCY,
        read=_cost,
    ),
    JobMetric(
        name="rephrase_job_budget_cost",
        unit="the currency's",
        help="What the job may cost: spec.cost.maxCost. No series where it is unset.",
        labels=_CURRENCY,
        read=_price("maxCost"),
    ),
)

_COUNTS = (
    JobMetric(
        name="rephrase_job_documents",
        kind=CounterMetricFamily,
        unit="documents",
        help="Documents whose samples are all finished.",
        read=_count("documents"),
    ),
    JobMetric(
        name="rephrase_job_samples",
        kind=CounterMetricFamily,
        unit="samples",
        help="Finished samples by outcome.",
        labels={"outcome": _one_of(("text", "error"))},
        read=_samples,
    ),
    JobMetric(
        name="rephrase_job_sample_errors",
        kind=CounterMetricFamily,
        unit="samples",
        help="Samples in error by the code of the error.",
        labels={"code": _first(ERROR_CODES_LIMIT, "code at the start of the sample's `error`")},
        read=_counts("progress", "errors"),
    ),
    JobMetric(
        name="rephrase_job_prompt_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Prompt tokens of finished samples.",
        read=_count("promptTokens"),
    ),
    JobMetric(
        name="rephrase_job_cached_prompt_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Prompt tokens of finished samples that came from the prefix cache.",
        read=_count("cachedPromptTokens"),
    ),
    JobMetric(
        name="rephrase_job_output_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Output tokens of finished samples.",
        read=_count("outputTokens"),
    ),
    JobMetric(
        name="rephrase_job_failed_attempts",
        kind=CounterMetricFamily,
        unit="attempts",
        help="Failed attempts at shards by reason.",
        labels={
            "reason": _first(
                REASONS_LIMIT, "why the worker failed (see commands.md), or why Kubernetes ended its pod"
            )
        },
        read=_counts("attempts", "reasons"),
    ),
    JobMetric(
        name="rephrase_job_failed_attempts_by_node",
        kind=CounterMetricFamily,
        unit="attempts",
        help="The same attempts by node.",
        labels={"node": _first(NODES_LIMIT, "name of the node")},
        read=_counts("attempts", "nodes"),
    ),
)

JOB_METRICS = (*_STATE, *_PROGRESS, *_QUALITY, *_COST, *_COUNTS)
"""All of them, in the order of the reference."""
