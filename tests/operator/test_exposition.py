"""The operator's exposition as Prometheus' own tools judge it: names, units, and how many series."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import (
    Condition,
    CostStatus,
    EstimateStatus,
    Phase,
    Progress,
    PromptTexts,
    Range,
    RephraseJobStatus,
    ShardAttempts,
    Shards,
)
from rephrase_operator.runtime.job_metrics import JOB_LABELS, JOB_METRICS, JobMetric
from rephrase_operator.runtime.metrics import OWN_UNITS, Metrics
from rephrase_worker.report.metrics import WORKER_METRICS, WorkerMetric
from tests.operator.builders import START, World, spec_of
from tests.programs import program

MANY = {f"name-{number}": number + 1 for number in range(10_000)}
RANGE = Range(low=1, expected=2, high=3)
DECLARED: list[JobMetric | WorkerMetric] = [*JOB_METRICS, *WORKER_METRICS]


def overfull() -> RephraseJobStatus:
    """A status in which everything is set, with ten thousand of what there can be many of."""
    rates = {"eta_seconds": 5, "tokens_per_second": 5.0, "tokens_per_second_per_gpu": 5.0}
    conditions = [
        Condition(type=kind, status=status, reason="A", message="b", last_transition_time=START)
        for kind, status in zip([*ConditionType, "Other"], ["True", "False"] * 6, strict=False)
    ]
    return (
        World(raw=SPEC)
        .run()
        .status.model_copy(
            update={
                "completion_time": START + timedelta(hours=1),
                "nothing_runs_since": START,
                "progress": Progress().model_copy(update={"errors": MANY, **rates}),
                "shards": Shards(total=10),
                "attempts": ShardAttempts().model_copy(update={"reasons": MANY, "nodes": MANY}),
                "cost": CostStatus(gpu_seconds=5, until=START, cost=1.0, currency="USD"),
                "estimate": EstimateStatus(
                    documents=RANGE, prompt_tokens=RANGE, output_tokens=RANGE, gpu_hours=RANGE, asked="x"
                ),
                "quality": {name: PromptTexts(structure_rate=0.5) for name in (*PROMPTS, *MANY)},
                "conditions": conditions,
            }
        )
    )


PROMPTS = [f"prompt-{number}" for number in range(32)]
SPEC = spec_of(
    prompts=[{"name": name, "template": "Explain: {{document}}"} for name in PROMPTS],
    cost={"gpuHourPrice": 2.0, "currency": "USD", "maxGpuHours": 5, "maxCost": 10},
)


def raw(name: str, status: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": name}, "spec": SPEC, "status": status}


@pytest.fixture(scope="module")
def exposition() -> str:
    """Jobs in every phase, one of them new, and an operator that has worked."""
    metrics = Metrics()
    metrics.show(raw("new", {}))
    full = overfull().to_api()
    for phase in Phase:
        metrics.show(raw(phase.lower(), full | {"phase": phase}))
    metrics.asked("GET", 200, 0.01)
    metrics.asked("GET", None, 30.0)
    metrics.asked("PATCH", 599, 30.0)
    with metrics.timed():
        metrics.failed()
    return metrics.exposition().decode()


def test_promtool_has_no_complaint(exposition: str) -> None:
    subprocess.run(
        [program("promtool"), "check", "metrics"], input=exposition.encode(), check=True, capture_output=True
    )


def test_no_status_makes_more_series_than_the_reference_says(exposition: str) -> None:
    found = Counter(
        family.name
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.labels.get("job") == "running"
    )
    assert found == {metric.name: metric.most_series for metric in JOB_METRICS}


def test_names_that_only_a_worker_knows_of_are_no_prompts(exposition: str) -> None:
    assert 'prompt="prompt-0"' in exposition
    assert 'prompt="name-0"' not in exposition


def test_a_request_is_counted_by_its_answer(exposition: str) -> None:
    assert 'rephrase_operator_api_requests_total{code="200",method="GET"} 1.0' in exposition
    assert 'rephrase_operator_api_requests_total{code="none",method="GET"} 1.0' in exposition
    assert 'rephrase_operator_api_requests_total{code="5xx",method="PATCH"} 1.0' in exposition


def test_every_metric_of_the_operators_own_work_is_in_the_reference(exposition: str) -> None:
    names = {family.name for family in text_string_to_metric_families(exposition)}
    jobs = {metric.name for metric in JOB_METRICS}
    assert {name for name in names - jobs if not name.startswith("process_")} == set(OWN_UNITS)


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_a_name_follows_the_conventions(metric: JobMetric | WorkerMetric) -> None:
    """https://prometheus.io/docs/practices/naming/; the client adds `_total` to counters."""
    assert re.fullmatch(r"rephrase_(job|worker)(_[a-z]+)+", metric.name)
    suffix = metric.name.rpartition("_")[2]
    assert suffix not in ("total", "count", "sum", "bucket", "created")
    if metric.unit.startswith(("seconds", "ratio")):
        assert suffix == metric.unit.partition(" ")[0].rstrip(",")
    else:
        assert suffix not in ("seconds", "ratio") or metric.kind is CounterMetricFamily
    assert (suffix == "info") == (metric.unit == "1")
    assert metric.help.endswith(".")


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_a_label_is_neither_a_metric_nor_a_label_that_prometheus_sets(
    metric: JobMetric | WorkerMetric,
) -> None:
    reserved = {"instance", "pod", "container", "endpoint", "service", "le", "quantile", *JOB_LABELS}
    assert not set(metric.labels) & (reserved | {other.name for other in DECLARED})
    assert all(re.fullmatch("[a-z]+", name) for name in metric.labels)


def test_names_are_given_once() -> None:
    assert max(Counter(metric.name for metric in DECLARED).values()) == 1
