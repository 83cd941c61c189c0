"""The page of the metrics: what a scrape of a worker and of the operator can hold, by their registries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry

from rephrase_operator.runtime import job_metrics
from rephrase_operator.runtime.metrics import Metrics
from rephrase_worker.report import metrics as worker_metrics
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.spec import WORKER_PORT
from scripts.reference.markdown import GENERATED, code, table

INTRODUCTION = """\
# Metrics reference

Every metric of this project. [metrics.md](../metrics.md) says how to read them.
"""

WORKER = f"""\
## Worker: port {WORKER_PORT} of every pod that generates

A worker's `/metrics` also holds vLLM's own metrics. They begin with `vllm:`, and vLLM's documentation
describes them.
"""

JOBS = """\
## Operator: of each job

Their values are those of the job's status. They have these labels beside those in the table:
"""

OPERATOR = """\
## Operator: its own work
"""

HEADER = ["Metric", "Type", "Unit", "Labels", "Meaning"]


def page() -> str:
    """The page's text."""
    worker = CollectorRegistry()
    worker.register(worker_metrics.ProgressCollector(ShardProgress(shard=0, pod_uid="", now=lambda: 0.0)))
    operator = Metrics().registry
    jobs = {metric.name for metric in job_metrics.JOB_METRICS}
    names = [family.name for family in operator.collect()]
    labels = (
        "\n".join(f"- {code(name)}: {meaning}" for name, meaning in job_metrics.JOB_LABELS.items()) + "\n"
    )
    return "\n".join(
        [
            GENERATED,
            INTRODUCTION,
            WORKER,
            table(HEADER, _rows(worker, worker_metrics.WORKER_METRICS)),
            JOBS,
            labels,
            table(HEADER, _rows(operator, job_metrics.JOB_METRICS, names=jobs)),
            OPERATOR,
            table(HEADER, _rows(operator, (), names=set(names) - jobs)),
        ]
    )


def _rows(
    registry: CollectorRegistry,
    declared: Iterable[worker_metrics.WorkerMetric] | Iterable[job_metrics.JobMetric],
    names: set[str] | None = None,
) -> Iterable[list[str]]:
    """A row for each family that a scrape would show. Units and labels are where the metric is declared."""
    entries: Mapping[str, worker_metrics.WorkerMetric | job_metrics.JobMetric] = {
        metric.name: metric for metric in declared
    }
    for family in registry.collect():
        if names is not None and family.name not in names:
            continue
        entry = entries.get(family.name)
        labels = entry.labels if entry else {}
        yield [
            code(family.name + ("_total" if family.type == "counter" else "")),
            family.type,
            entry.unit if entry else family.unit or "count",
            "; ".join(f"{code(name)}: {meaning}" for name, meaning in labels.items()),
            family.documentation,
        ]
