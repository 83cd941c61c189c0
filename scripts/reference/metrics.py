"""The page of the metrics: what a scrape of a worker and of the operator can hold, and how many series."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from rephrase_operator.runtime import job_metrics
from rephrase_operator.runtime.metrics import OWN_LABELS, OWN_UNITS, Metrics
from rephrase_worker.report import metrics as worker_metrics
from rephrase_worker.spec import WORKER_PORT
from scripts.reference.markdown import GENERATED, code, table

INTRODUCTION = """\
# Metrics reference

Every metric of this project. [Metrics](../metrics.md) says how to read them.

"Series" is the most that a metric can have at one time: for one worker, for one job, or for the operator.
It is the product of the numbers of values that its labels can have; the number stands behind each label.
Labels whose values come from outside (nodes, reasons, codes of errors) keep the first values that a job has
seen, and count everything else as `other`.
"""

WORKER = f"""\
## Worker: port {WORKER_PORT} of every pod that generates

At most {{series}} series a worker. Its `/metrics` also holds vLLM's own metrics, some hundreds of series.
They begin with `vllm:`, and vLLM's documentation describes them. `process_...` and `python_...` are those of
Prometheus' client for Python.
"""

JOBS = """\
## Operator: of each job

At most {series} series a job. They end when the job is deleted. Only the replica that holds the Lease has
them. All of them have these labels:

{labels}
"""

OPERATOR = """\
## Operator: its own work

At most {series} series, and `process_...`: memory, CPU time and open files of the process.
"""

HEADER = ["Metric", "Type", "Unit", "Labels", "Series", "Meaning"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the page."""

    name: str
    kind: str
    unit: str
    help: str
    labels: Mapping[str, worker_metrics.Label | job_metrics.Label]
    most_series: int

    @property
    def row(self) -> list[str]:
        """The row's cells."""
        labels = (f"{code(name)} ({label.most}): {label.meaning}" for name, label in self.labels.items())
        return [code(self.name), self.kind, self.unit, "; ".join(labels), str(self.most_series), self.help]


def page() -> str:
    """The page's text."""
    worker, jobs, operator = list(of_workers()), list(of_jobs()), list(of_the_operator())
    labels = "\n".join(f"- {code(name)}: {meaning}" for name, meaning in job_metrics.JOB_LABELS.items())
    return "\n".join(
        [
            GENERATED,
            INTRODUCTION,
            WORKER.format(series=_series(worker)),
            _table(worker),
            JOBS.format(series=_series(jobs), labels=labels),
            _table(jobs),
            OPERATOR.format(series=_series(operator)),
            _table(operator),
        ]
    )


def of_workers() -> Iterator[Entry]:
    """The metrics of a worker."""
    return map(_declared, worker_metrics.WORKER_METRICS)


def of_jobs() -> Iterator[Entry]:
    """The metrics of a job."""
    return map(_declared, job_metrics.JOB_METRICS)


def of_the_operator() -> Iterator[Entry]:
    """The metrics of the operator's own work, by its registry."""
    for family in Metrics().registry.collect():
        if family.name not in OWN_UNITS:
            continue
        labels = OWN_LABELS.get(family.name, {})
        # A histogram has a series for each bucket, one for the sum and one for the count.
        alone = len(family.samples) if family.type == "histogram" else 1
        yield Entry(
            name=_shown(family),
            kind=family.type,
            unit=OWN_UNITS[family.name],
            help=family.documentation,
            labels=labels,
            most_series=alone * math.prod(label.most for label in labels.values()),
        )


def _declared(metric: worker_metrics.WorkerMetric | job_metrics.JobMetric) -> Entry:
    family = metric.kind(metric.name, metric.help)
    return Entry(
        name=_shown(family),
        kind=family.type,
        unit=metric.unit,
        help=metric.help,
        labels=metric.labels,
        most_series=metric.most_series,
    )


def _shown(family: Metric) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


def _series(entries: Iterable[Entry]) -> int:
    return sum(entry.most_series for entry in entries)


def _table(entries: Sequence[Entry]) -> str:
    return table(HEADER, (entry.row for entry in entries))
