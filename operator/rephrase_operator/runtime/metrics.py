"""The operator's Prometheus metrics: every job's state as its status says, and the operator's own work.

docs/reference/metrics.md is made from the declarations here, so a metric is documented where it is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rephrase_operator.api.status import Phase
from rephrase_operator.cluster.mirror import Key

Status = Mapping[str, Any]
Series = Iterable[tuple[Sequence[str], float]]
"""Values by the values of a metric's own labels."""

JOB_LABELS = {"namespace": "of the RephraseJob", "job": "its name"}
"""Labels of every metric of a job."""


@dataclass(frozen=True, kw_only=True)
class JobMetric:
    """One metric of a job: how it is called, what it means, and where in the status its values are."""

    name: str
    """Without the suffix `_total`, which Prometheus' text format adds to counters."""
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily] = GaugeMetricFamily
    unit: str
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """What each label beside JOB_LABELS means."""
    read: Callable[[Status], Series]


def _progress(name: str) -> Callable[[Status], Series]:
    """A field of status.progress; no series while the field is unset."""

    def read(status: Status) -> Series:
        value = (status.get("progress") or {}).get(name)
        return [] if value is None else [((), float(value))]

    return read


def _expected(status: Status) -> Series:
    value = (status.get("engine") or {}).get("tokensPerSecondPerGpu")
    return [] if value is None else [((), float(value))]


def _texts(name: str) -> Callable[[Status], Series]:
    """A figure of status.quality by prompt."""

    def read(status: Status) -> Series:
        quality = status.get("quality") or {}
        return [((prompt,), float(each[name])) for prompt, each in sorted(quality.items()) if name in each]

    return read


def _gpu_seconds(status: Status) -> Series:
    cost = status.get("cost")
    return [] if cost is None else [((), float(cost.get("gpuSeconds", 0.0)))]


def _cost(status: Status) -> Series:
    cost = status.get("cost") or {}
    return [((cost.get("currency", ""),), float(cost["cost"]))] if "cost" in cost else []


def _estimated_gpu_seconds(status: Status) -> Series:
    hours = (status.get("estimate") or {}).get("gpuHours")
    return [] if hours is None else [((), hours["expected"] * 3600)]


def _phases(status: Status) -> Series:
    return [((phase.value,), float(status.get("phase") == phase)) for phase in Phase]


def _samples(status: Status) -> Series:
    progress = status.get("progress") or {}
    # Texts that finalizing leaves out were counted as texts before, and a counter does not fall.
    texts = progress.get("samplesText", 0) + progress.get("samplesFiltered", 0)
    return [(("text",), texts), (("error",), progress.get("samplesError", 0))]


def _shards(status: Status) -> Series:
    shards = status.get("shards") or {}
    return [((state,), shards.get(state, 0)) for state in ("succeeded", "failed", "running", "pending")]


def _failed_attempts(status: Status) -> Series:
    reasons = (status.get("attempts") or {}).get("reasons") or {}
    return [((reason,), count) for reason, count in sorted(reasons.items())]


JOB_METRICS = (
    JobMetric(
        name="rephrase_job_phase",
        unit="0 or 1",
        help="1 for the phase that the job is in, 0 for the others.",
        labels={"phase": "`" + "`, `".join(phase.value for phase in Phase) + "`"},
        read=_phases,
    ),
    JobMetric(
        name="rephrase_job_progress_ratio",
        unit="ratio, 0 to 1",
        help="Share of the samples that are finished.",
        read=_progress("ratio"),
    ),
    JobMetric(
        name="rephrase_job_output_tokens_per_second",
        unit="tokens/s",
        help="Output tokens per second of all workers together.",
        read=_progress("tokensPerSecond"),
    ),
    JobMetric(
        name="rephrase_job_output_tokens_per_second_per_gpu",
        unit="tokens/s",
        help="Output tokens per second and GPU.",
        read=_progress("tokensPerSecondPerGpu"),
    ),
    JobMetric(
        name="rephrase_job_expected_output_tokens_per_second_per_gpu",
        unit="tokens/s",
        help="Output tokens per second and GPU that the engine's profile promises, start-up left out. No "
        "series on CPUs and on unknown GPUs.",
        read=_expected,
    ),
    JobMetric(
        name="rephrase_job_structure_ratio",
        unit="ratio, 0 to 1",
        help="Share of a prompt's texts that have the structure that the prompt asks for.",
        labels={"prompt": "name of the prompt, at most 32"},
        read=_texts("structureRate"),
    ),
    JobMetric(
        name="rephrase_job_top_opening_ratio",
        unit="ratio, 0 to 1",
        help="Share of a prompt's texts that begin with the most frequent first sentence, at least.",
        labels={"prompt": "name of the prompt, at most 32"},
        read=_texts("topOpeningShare"),
    ),
    JobMetric(
        name="rephrase_job_eta_seconds",
        unit="seconds",
        help="Time left at the mean pace of the workers.",
        read=_progress("etaSeconds"),
    ),
    JobMetric(
        name="rephrase_job_gpu_seconds",
        kind=CounterMetricFamily,
        unit="seconds",
        help="Time that worker pods held GPUs, times their number: failed pods and start-up included. On "
        "CPUs, time of the pods.",
        read=_gpu_seconds,
    ),
    JobMetric(
        name="rephrase_job_estimated_gpu_seconds",
        unit="seconds",
        help="What the whole job is expected to take of that. No series where no pace is known.",
        read=_estimated_gpu_seconds,
    ),
    JobMetric(
        name="rephrase_job_cost",
        unit="the currency's",
        help="GPU-hours spent, times spec.cost.gpuHourPrice.",
        labels={"currency": "of the price"},
        read=_cost,
    ),
    JobMetric(
        name="rephrase_job_workers",
        unit="pods",
        help="Workers that are running.",
        read=_progress("workers"),
    ),
    JobMetric(
        name="rephrase_job_documents",
        kind=CounterMetricFamily,
        unit="documents",
        help="Documents whose samples are all finished.",
        read=_progress("documents"),
    ),
    JobMetric(
        name="rephrase_job_prompt_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Prompt tokens of finished samples.",
        read=_progress("promptTokens"),
    ),
    JobMetric(
        name="rephrase_job_cached_prompt_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Prompt tokens of finished samples that came from the prefix cache.",
        read=_progress("cachedPromptTokens"),
    ),
    JobMetric(
        name="rephrase_job_output_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Output tokens of finished samples.",
        read=_progress("outputTokens"),
    ),
    JobMetric(
        name="rephrase_job_samples",
        kind=CounterMetricFamily,
        unit="samples",
        help="Finished samples by outcome.",
        labels={"outcome": "`text` or `error`"},
        read=_samples,
    ),
    JobMetric(
        name="rephrase_job_shards",
        unit="shards",
        help="Shards by state.",
        labels={"state": "`succeeded`, `failed`, `running` or `pending`"},
        read=_shards,
    ),
    JobMetric(
        name="rephrase_job_failed_attempts",
        kind=CounterMetricFamily,
        unit="attempts",
        help="Failed attempts at shards.",
        labels={"reason": "why the worker failed (see commands.md), or why Kubernetes ended its pod"},
        read=_failed_attempts,
    ),
)


class Metrics(Collector):
    """Reads the statuses it was last shown when it is scraped, so a deleted job's series end with it."""

    def __init__(self) -> None:
        self._statuses: dict[Key, Status] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._durations = Histogram(
            "rephrase_operator_reconcile_duration_seconds",
            "Time that a pass over one job takes.",
            unit="seconds",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self._errors = CounterMetric(
            "rephrase_operator_reconcile_errors", "Passes over a job that failed.", registry=self.registry
        )

    def show(self, key: Key, status: Status) -> None:
        """Show a job's status, as it is in the API."""
        self._statuses[key] = status

    def drop(self, key: Key) -> None:
        """Drop the series of a job that is gone."""
        self._statuses.pop(key, None)

    def timed(self) -> AbstractContextManager[Any]:
        """Measure a pass."""
        return self._durations.time()

    def failed(self) -> None:
        """Count a pass that failed."""
        self._errors.inc()

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Metric]:
        """The jobs' metrics, for the registry."""
        for metric in JOB_METRICS:
            family = metric.kind(metric.name, metric.help, labels=[*JOB_LABELS, *metric.labels])
            for key, status in self._statuses.items():
                for labels, value in metric.read(status):
                    family.add_metric([*key, *labels], value)
            yield family
