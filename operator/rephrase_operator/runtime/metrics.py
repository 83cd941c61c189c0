"""The operator's Prometheus metrics: every job as it is in the API, and the operator's own work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from importlib import metadata
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from rephrase_operator.cluster.kube import METHODS, NAME
from rephrase_operator.cluster.mirror import Key
from rephrase_operator.runtime import job_metrics
from rephrase_operator.runtime.job_metrics import Label, ShownJob

NO_ANSWER = "none"
"""Code of a request that the API server has not answered."""

OWN_LABELS: Mapping[str, Mapping[str, Label]] = {
    "rephrase_operator_build_info": {"version": Label("of the operator", 1)},
    "rephrase_operator_api_requests": {
        "method": Label("`" + "`, `".join(METHODS) + "`", len(METHODS)),
        "code": Label(
            f"of the answer: a status code of HTTP, `5xx` for one that HTTP does not know, `{NO_ANSWER}` "
            "without an answer",
            len(HTTPStatus) + 10,
        ),
    },
}
"""The labels of the metrics of the operator's own work, by metric."""

OWN_UNITS = {
    "rephrase_operator_build_info": "1",
    "rephrase_operator_leader": "0 or 1",
    "rephrase_operator_queue_depth": "jobs",
    "rephrase_operator_reconcile_duration_seconds": "seconds",
    "rephrase_operator_reconcile_errors": "passes",
    "rephrase_operator_api_requests": "requests",
    "rephrase_operator_api_request_duration_seconds": "seconds",
}
"""All metrics of the operator's own work, and their units."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics(Collector):
    """Reads the jobs that it was last shown when it is scraped, so a deleted job's series end with it.

    `leads` tells whether this process holds the Lease. Without it no job is exported: the replica that holds
    the Lease exports the same series.
    """

    def __init__(self, leads: Callable[[], bool] = lambda: True) -> None:
        # The text format has no creation times. The client would add a series of its own for each counter.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._jobs: dict[Key, ShownJob] = {}
        self._leads = leads
        self.registry = CollectorRegistry()
        self.registry.register(self)
        Gauge(
            "rephrase_operator_build_info",
            "1, with the version as a label.",
            OWN_LABELS["rephrase_operator_build_info"],
            registry=self.registry,
        ).labels(metadata.version(NAME)).set(1)
        Gauge(
            "rephrase_operator_leader",
            "1 while this process holds the Lease and works, 0 while it waits for it.",
            registry=self.registry,
        ).set_function(lambda: float(self._leads()))
        self._due = Gauge(
            "rephrase_operator_queue_depth",
            "Jobs that are due for a pass and wait for their turn.",
            registry=self.registry,
        )
        self._durations = Histogram(
            "rephrase_operator_reconcile_duration_seconds",
            "Time that a pass over one job takes.",
            unit="seconds",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._errors = Counter(
            "rephrase_operator_reconcile_errors", "Passes over a job that failed.", registry=self.registry
        )
        self._requests = Counter(
            "rephrase_operator_api_requests",
            "Requests to the API server. Without those of the watch of RephraseJobs.",
            OWN_LABELS["rephrase_operator_api_requests"],
            registry=self.registry,
        )
        self._answers = Histogram(
            "rephrase_operator_api_request_duration_seconds",
            "Time until the API server begins to answer a request.",
            unit="seconds",
            buckets=_SECONDS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def show(self, raw: Mapping[str, Any]) -> None:
        """Show a RephraseJob as it is in the API."""
        meta = raw["metadata"]
        shown = ShownJob(spec=raw.get("spec") or {}, status=raw.get("status") or {})
        self._jobs[meta["namespace"], meta["name"]] = shown

    def drop(self, key: Key) -> None:
        """Drop the series of a job that is gone."""
        self._jobs.pop(key, None)

    def queue(self, due: Callable[[], int]) -> None:
        """Set what tells how many jobs are due for a pass."""
        self._due.set_function(due)

    def timed(self) -> AbstractContextManager[Any]:
        """Measure a pass."""
        return self._durations.time()

    def failed(self) -> None:
        """Count a pass that failed."""
        self._errors.inc()

    def asked(self, method: str, status: int | None, seconds: float) -> None:
        """Count a request to the API server; `status` is None if it was not answered."""
        self._requests.labels(method, _code(status)).inc()
        self._answers.observe(seconds)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Metric]:
        """The jobs' metrics, for the registry."""
        jobs = self._jobs if self._leads() else {}
        for metric in job_metrics.JOB_METRICS:
            family = metric.kind(metric.name, metric.help, labels=[*job_metrics.JOB_LABELS, *metric.labels])
            for key, job in jobs.items():
                for labels, value in metric.read(job):
                    family.add_metric([*key, *labels], value)
            yield family


def _code(status: int | None) -> str:
    if status is None:
        return NO_ANSWER
    return str(status) if status in list(HTTPStatus) else f"{status // 100}xx"
