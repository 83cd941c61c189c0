"""What Prometheus gets to see."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from rephrase_operator.runtime.metrics import Metrics
from tests.operator.builders import START, World, spec_of

KEY = ("default", "books")


def series(metrics: Metrics) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found[(sample.name, *(value for _, value in sorted(sample.labels.items())))] = sample.value
    return found


def shown(world: World) -> dict[tuple[str, ...], float]:
    metrics = Metrics()
    metrics.show(world.shown)
    return series(metrics)


def job_of(status: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": "books"}, "spec": spec_of(), "status": status}


def test_a_job_is_exported_as_its_status_says() -> None:
    world = World().planned().running(0, tokens_per_second=50.0, samples_text=10)
    found = shown(world.fail_pod(1, node="gpu-7").run())
    assert found["rephrase_job_phase", "books", "default", "Running"] == 1
    assert found["rephrase_job_phase", "books", "default", "Failed"] == 0
    assert found["rephrase_job_output_tokens_per_second", "books", "default"] == 50
    assert found["rephrase_job_expected_output_tokens_per_second_per_gpu", "books", "default"] == 4677
    assert found["rephrase_job_shards", "books", "default", "running"] == 1
    assert found["rephrase_job_failed_attempts_total", "books", "default", "EngineFailed"] == 1
    assert found["rephrase_job_failed_attempts_by_node_total", "books", "default", "gpu-7"] == 1
    assert found["rephrase_job_samples_total", "books", "default", "text"] == 18
    assert found["rephrase_job_planned_documents", "books", "default"] == 30
    assert found["rephrase_job_planned_samples", "books", "default"] == 60
    assert found["rephrase_job_start_timestamp_seconds", "books", "default"] == START.timestamp()


def test_the_models_name_and_its_profile_are_the_labels_of_a_series() -> None:
    (info,) = [labels for labels in shown(World().planned()) if labels[0] == "rephrase_job_info"]
    assert info == ("rephrase_job_info", "H100-80GB", "books", "/models/tiny", "default", "baseline")


def test_a_condition_is_1_or_0_and_not_exported_while_it_is_unknown() -> None:
    found = shown(World().planned().running(0).run())
    assert found["rephrase_job_condition", "WorkersReady", "books", "default"] == 1
    assert found["rephrase_job_condition", "WithinErrorBudget", "books", "default"] == 1
    assert ("rephrase_job_condition", "Failed", "books", "default") not in found
    unknown = {"type": "Accepted", "status": "Unknown"}
    metrics = Metrics()
    metrics.show(job_of({"conditions": [unknown, {"type": "Failed", "status": "False"}]}))
    held = {labels[1]: value for labels, value in series(metrics).items() if "condition" in labels[0]}
    assert held == {"Failed": 0}


def test_workers_that_wait_and_workers_that_hold_gpus_are_counted() -> None:
    world = World(raw=spec_of(engine={"tensorParallelSize": 4})).planned().running(0).run()
    world.pod("generate", "shard-1-1", index=1)
    found = shown(world.after(minutes=1).run())
    assert found["rephrase_job_workers", "books", "default"] == 1
    assert found["rephrase_job_pending_workers", "books", "default"] == 1
    assert found["rephrase_job_gpus", "books", "default"] == 4
    stopped = shown(world.edit(suspend=True).end_pod(0, exit_code=75).run())
    assert stopped["rephrase_job_gpus", "books", "default"] == 0


def test_since_when_nothing_runs_is_exported_until_something_does() -> None:
    world = World().planned().after(minutes=1).run()
    since = shown(world)["rephrase_job_nothing_runs_since_timestamp_seconds", "books", "default"]
    assert since == START.timestamp()
    name = "rephrase_job_nothing_runs_since_timestamp_seconds"
    assert not any(name in labels for labels in shown(world.running(0).run()))


def test_the_series_of_a_deleted_job_end() -> None:
    metrics = Metrics()
    metrics.show(job_of({"phase": "Running"}))
    metrics.drop(KEY)
    assert not any("books" in labels for labels in series(metrics))


def test_unknown_values_are_not_exported() -> None:
    metrics = Metrics()
    metrics.show(job_of({"phase": "Planning"}))
    assert not any(labels[0] == "rephrase_job_eta_seconds" for labels in series(metrics))


def test_a_replica_without_the_lease_exports_no_job() -> None:
    leads = True
    metrics = Metrics(leads=lambda: leads)
    metrics.show(job_of({"phase": "Running"}))
    assert series(metrics)["rephrase_operator_leader",] == 1
    leads = False
    found = series(metrics)
    assert found["rephrase_operator_leader",] == 0
    assert not any("books" in labels for labels in found)


def test_passes_are_timed_and_failures_counted() -> None:
    metrics = Metrics()
    with metrics.timed():
        metrics.failed()
    found = series(metrics)
    assert found["rephrase_operator_reconcile_duration_seconds_count",] == 1
    assert found["rephrase_operator_reconcile_errors_total",] == 1
