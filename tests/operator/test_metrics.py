"""What Prometheus gets to see."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from rephrase_operator.runtime.metrics import Metrics
from tests.operator.builders import World

KEY = ("default", "books")


def series(metrics: Metrics) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found[(sample.name, *(value for _, value in sorted(sample.labels.items())))] = sample.value
    return found


def test_a_job_is_exported_as_its_status_says() -> None:
    world = World().planned().running(0, tokens_per_second=50.0, samples_text=10).fail_pod(1).run()
    metrics = Metrics()
    metrics.show(KEY, world.status.to_api())
    found = series(metrics)
    assert found["rephrase_job_phase", "books", "default", "Running"] == 1
    assert found["rephrase_job_phase", "books", "default", "Failed"] == 0
    assert found["rephrase_job_output_tokens_per_second", "books", "default"] == 50
    assert found["rephrase_job_expected_output_tokens_per_second_per_gpu", "books", "default"] == 4677
    assert found["rephrase_job_shards", "books", "default", "running"] == 1
    assert found["rephrase_job_failed_attempts_total", "books", "default", "EngineFailed"] == 1
    assert found["rephrase_job_samples_total", "books", "default", "text"] == 18


def test_the_series_of_a_deleted_job_end() -> None:
    metrics = Metrics()
    metrics.show(KEY, {"phase": "Running"})
    metrics.drop(KEY)
    assert not any("books" in labels for labels in series(metrics))


def test_unknown_values_are_not_exported() -> None:
    metrics = Metrics()
    metrics.show(KEY, {"phase": "Planning"})
    assert not any(labels[0] == "rephrase_job_eta_seconds" for labels in series(metrics))


def test_passes_are_timed_and_failures_counted() -> None:
    metrics = Metrics()
    with metrics.timed():
        metrics.failed()
    found = series(metrics)
    assert found["rephrase_operator_reconcile_duration_seconds_count",] == 1
    assert found["rephrase_operator_reconcile_errors_total",] == 1
