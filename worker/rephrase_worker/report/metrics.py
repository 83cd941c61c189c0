"""The worker's Prometheus metrics, one entry each, and the collector that reads them off the progress.

docs/reference/metrics.md is made from these entries, so a metric is documented where it is declared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rephrase_worker.report.progress import ShardProgress, Snapshot
from rephrase_worker.spec import PROMPTS_LIMIT

Series = Iterable[tuple[Sequence[str], float]]
"""Values by the values of the labels."""


class Label(NamedTuple):
    """A label, and how many values it can have."""

    meaning: str
    most: int
    """Most values of a worker."""


@dataclass(frozen=True, kw_only=True)
class WorkerMetric:
    """One metric: how it is called, what it means, and where its values come from."""

    name: str
    """Without the suffix `_total`, which Prometheus' text format adds to counters."""
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    unit: str
    help: str
    labels: Mapping[str, Label] = field(default_factory=dict)
    read: Callable[[Snapshot], Series]

    @property
    def most_series(self) -> int:
        """Most series of a worker."""
        return math.prod(label.most for label in self.labels.values())


def _plain(read: Callable[[Snapshot], float]) -> Callable[[Snapshot], Series]:
    """The one series of a metric without labels."""
    return lambda now: [((), read(now))]


_PROMPT = {"prompt": Label("name of the prompt", PROMPTS_LIMIT)}

WORKER_METRICS = (
    WorkerMetric(
        name="rephrase_worker_documents",
        kind=CounterMetricFamily,
        unit="documents",
        help="Documents whose samples are all finished.",
        read=_plain(lambda now: now.documents),
    ),
    WorkerMetric(
        name="rephrase_worker_samples",
        kind=CounterMetricFamily,
        unit="samples",
        help="Finished samples.",
        labels=_PROMPT | {"outcome": Label("`text`, `error`", 2)},
        read=lambda now: sorted(now.outcomes.items()),
    ),
    WorkerMetric(
        name="rephrase_worker_prompt_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Prompt tokens of finished samples.",
        read=_plain(lambda now: now.prompt_tokens),
    ),
    WorkerMetric(
        name="rephrase_worker_cached_prompt_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Prompt tokens of finished samples that came from the prefix cache.",
        read=_plain(lambda now: now.cached_prompt_tokens),
    ),
    WorkerMetric(
        name="rephrase_worker_output_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Tokens that the engine has generated, those of unfinished requests included.",
        read=_plain(lambda now: now.generated_tokens),
    ),
    WorkerMetric(
        name="rephrase_worker_prompt_output_tokens",
        kind=CounterMetricFamily,
        unit="tokens",
        help="Output tokens of finished samples by prompt.",
        labels=_PROMPT,
        read=lambda now: [((prompt,), tokens) for prompt, tokens in now.output_tokens.items()],
    ),
    WorkerMetric(
        name="rephrase_worker_requests_in_flight",
        kind=GaugeMetricFamily,
        unit="requests",
        help="Requests that the engine has been given and has not answered yet.",
        read=_plain(lambda now: now.in_flight),
    ),
    WorkerMetric(
        name="rephrase_worker_commits",
        kind=CounterMetricFamily,
        unit="commits",
        help="Segments written to the destination.",
        read=_plain(lambda now: now.commits),
    ),
    WorkerMetric(
        name="rephrase_worker_commit_failures",
        kind=CounterMetricFamily,
        unit="attempts",
        help="Attempts at writing to the destination that failed; each is tried again.",
        read=_plain(lambda now: now.commit_failures),
    ),
    WorkerMetric(
        name="rephrase_worker_engine_seconds",
        kind=CounterMetricFamily,
        unit="seconds",
        help="Time since the engine was ready.",
        read=_plain(lambda now: now.engine_seconds),
    ),
    WorkerMetric(
        name="rephrase_worker_startup_seconds",
        kind=GaugeMetricFamily,
        unit="seconds",
        help="Time that each step of the start-up took.",
        labels={"step": Label("`import`, `resume`, `model`, `engine`", 4)},
        read=lambda now: [((step,), seconds) for step, seconds in now.startup_seconds.items()],
    ),
)


class ProgressCollector(Collector):
    """Reads the metrics off the worker's progress at each scrape."""

    def __init__(self, progress: ShardProgress) -> None:
        self._progress = progress

    def collect(self) -> Iterable[Metric]:
        """The metrics with their present values."""
        now = self._progress.snapshot()
        for metric in WORKER_METRICS:
            family = metric.kind(metric.name, metric.help, labels=list(metric.labels))
            for labels, value in metric.read(now):
                family.add_metric(labels, value)
            yield family
