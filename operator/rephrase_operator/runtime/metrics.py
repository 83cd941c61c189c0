"""The operator's Prometheus metrics: every job's state as its status says, and the operator's own work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rephrase_operator.api.status import Phase
from rephrase_operator.cluster.mirror import Key

_GAUGES = (
    ("rephrase_job_progress_ratio", "Share of the samples that are done.", "ratio"),
    ("rephrase_job_output_tokens_per_second", "Output tokens per second.", "tokensPerSecond"),
    (
        "rephrase_job_output_tokens_per_second_per_gpu",
        "Output tokens per second and GPU.",
        "tokensPerSecondPerGpu",
    ),
    ("rephrase_job_eta_seconds", "Time left at the mean pace of the workers.", "etaSeconds"),
    ("rephrase_job_workers", "Workers that are running.", "workers"),
)

_COUNTERS = (
    ("rephrase_job_documents", "Documents done.", "documents"),
    ("rephrase_job_prompt_tokens", "Tokens read by the model.", "promptTokens"),
    ("rephrase_job_cached_prompt_tokens", "Tokens read from the KV cache.", "cachedPromptTokens"),
    ("rephrase_job_output_tokens", "Tokens written by the model.", "outputTokens"),
)

_SHARD_STATES = ("succeeded", "failed", "running", "pending")


class Metrics(Collector):
    """Reads the statuses it was last shown when it is scraped, so a deleted job's series end with it."""

    def __init__(self) -> None:
        self._statuses: dict[Key, Mapping[str, Any]] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._durations = Histogram(
            "rephrase_operator_reconcile_duration_seconds",
            "Duration of a pass over one job.",
            registry=self._registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self._errors = CounterMetric(
            "rephrase_operator_reconcile_errors", "Passes that failed.", registry=self._registry
        )

    def show(self, key: Key, status: Mapping[str, Any]) -> None:
        """A job's status, as it is in the API."""
        self._statuses[key] = status

    def drop(self, key: Key) -> None:
        """A job is gone."""
        self._statuses.pop(key, None)

    def timed(self) -> AbstractContextManager[Any]:
        """Measure a pass."""
        return self._durations.time()

    def failed(self) -> None:
        """Count a pass that failed."""
        self._errors.inc()

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """The jobs' metrics, for the registry."""
        labels = ["namespace", "job"]
        phases = GaugeMetricFamily(
            "rephrase_job_phase", "1 for the phase a job is in.", labels=[*labels, "phase"]
        )
        shards = GaugeMetricFamily("rephrase_job_shards", "Shards by state.", labels=[*labels, "state"])
        samples = CounterMetricFamily(
            "rephrase_job_samples", "Samples by outcome.", labels=[*labels, "outcome"]
        )
        # No counter: a shard's attempts move to the reason of the last, and new engine settings reset them.
        failures = GaugeMetricFamily(
            "rephrase_job_failures",
            "Failed attempts at shards by reason of the last.",
            labels=[*labels, "reason"],
        )
        gauges = {field: GaugeMetricFamily(name, text, labels=labels) for name, text, field in _GAUGES}
        counters = {field: CounterMetricFamily(name, text, labels=labels) for name, text, field in _COUNTERS}
        for key, status in self._statuses.items():
            for phase in Phase:
                phases.add_metric([*key, phase.value], float(status.get("phase") == phase))
            progress = status.get("progress") or {}
            for field, metric in (gauges | counters).items():
                if progress.get(field) is not None:
                    metric.add_metric(list(key), progress[field])
            for outcome, field in (("text", "samplesText"), ("error", "samplesError")):
                samples.add_metric([*key, outcome], progress.get(field, 0))
            for state in _SHARD_STATES:
                shards.add_metric([*key, state], (status.get("shards") or {}).get(state, 0))
            reasons: Counter[str] = Counter()
            for failure in status.get("failures") or ():
                reasons[failure["reason"]] += failure["attempts"]
            for reason, count in sorted(reasons.items()):
                failures.add_metric([*key, reason], count)
        return [phases, *gauges.values(), *counters.values(), samples, shards, failures]
