"""The operator's Prometheus metrics: every job as it is in the API, and the operator's own work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from rephrase_operator.cluster.mirror import Key
from rephrase_operator.runtime import job_metrics
from rephrase_operator.runtime.job_metrics import ShownJob


class Metrics(Collector):
    """Reads the jobs that it was last shown when it is scraped, so a deleted job's series end with it."""

    def __init__(self) -> None:
        self._jobs: dict[Key, ShownJob] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._durations = Histogram(
            "rephrase_operator_reconcile_duration_seconds",
            "Time that a pass over one job takes.",
            unit="seconds",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self._errors = Counter(
            "rephrase_operator_reconcile_errors", "Passes over a job that failed.", registry=self.registry
        )

    def show(self, raw: Mapping[str, Any]) -> None:
        """Show a RephraseJob as it is in the API."""
        meta = raw["metadata"]
        shown = ShownJob(spec=raw.get("spec") or {}, status=raw.get("status") or {})
        self._jobs[meta["namespace"], meta["name"]] = shown

    def drop(self, key: Key) -> None:
        """Drop the series of a job that is gone."""
        self._jobs.pop(key, None)

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
        for metric in job_metrics.JOB_METRICS:
            family = metric.kind(metric.name, metric.help, labels=[*job_metrics.JOB_LABELS, *metric.labels])
            for key, job in self._jobs.items():
                for labels, value in metric.read(job):
                    family.add_metric([*key, *labels], value)
            yield family
