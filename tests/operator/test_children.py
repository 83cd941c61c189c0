"""The manifests of a job's children."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_operator.pod_defaults import PodDefaults
from rephrase_operator.reconcile import children
from rephrase_operator.settings import Settings
from tests.operator.builders import LIBRARY, ON_CPUS, World, spec_of

AMOUNTS = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": "4", "memory": "8Gi"}}


def pod_of(**changes: Any) -> dict[str, Any]:
    """The worker's pod spec for a job with these fields."""
    world = World(raw=spec_of(**changes)).planned()
    found: dict[str, Any] = world.manifests["generate"]["spec"]["template"]["spec"]
    return found


def container_of(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = pod_of(**changes)["containers"][0]
    return found


def test_a_pod_names_its_command_in_full_and_has_no_token() -> None:
    pod = pod_of()
    assert pod["containers"][0]["command"] == [
        "rephrase-worker",
        "generate",
        "--recipe",
        "/etc/rephrase/recipe.json",
        "--engine",
        "/etc/rephrase/engine.json",
    ]
    assert (pod["automountServiceAccountToken"], pod["restartPolicy"]) == (False, "Never")


def test_the_planner_knows_the_engine_and_the_finalizer_does_not() -> None:
    world = World(raw=spec_of()).planned()
    assert world.job.spec is not None
    for make, known in ((children.plan_job, True), (children.finalize_job, False)):
        job = make(world.job, world.job.spec, Settings())
        command = job["spec"]["template"]["spec"]["containers"][0]["command"]
        assert (command[-2:] == ["--engine", "/etc/rephrase/engine.json"]) is known


def test_gpus_follow_from_the_engine() -> None:
    limits = container_of(engine={"tensorParallelSize": 4, "pipelineParallelSize": 2})["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": 8}


@pytest.mark.parametrize("step", ["plan", "finalize"])
def test_steps_of_one_pod_ask_for_amounts_that_a_quota_can_count(step: str) -> None:
    def resources(**worker: Any) -> dict[str, Any]:
        world = World(raw=spec_of(worker=worker)).planned(shards=1)
        world.succeed(0).job_says(children.Step.GENERATE, complete=True).run()
        found: dict[str, Any] = world.manifests[step]["spec"]["template"]["spec"]["containers"][0][
            "resources"
        ]
        return found

    assert resources() == AMOUNTS
    assert resources(resources={"requests": {"cpu": "9"}}) == AMOUNTS
    assert resources(stepResources={"requests": {"memory": "64Gi"}}) == {"requests": {"memory": "64Gi"}}


def test_cpu_workers_ask_for_no_gpu() -> None:
    world = World(settings=ON_CPUS).planned()
    assert world.manifests["generate"]["spec"]["template"]["spec"]["containers"][0]["resources"] == {}


def test_the_simulated_engine_asks_for_no_gpu() -> None:
    assert container_of(engine={"backend": "simulated"})["resources"] == {}


def test_only_workers_that_run_vllm_get_shared_memory() -> None:
    for engine in ({}, {"tensorParallelSize": 2}):
        assert {"name": "shm", "emptyDir": {"medium": "Memory"}} in pod_of(engine=engine)["volumes"]
        mounts = container_of(engine=engine)["volumeMounts"]
        assert {"name": "shm", "mountPath": "/dev/shm"} in mounts
    assert "shm" not in [volume["name"] for volume in pod_of(engine={"backend": "simulated"})["volumes"]]


def test_secrets_are_named_and_never_read() -> None:
    reference = {"name": "store", "key": "id"}
    env = container_of(worker={"env": [{"name": "AWS_ACCESS_KEY_ID", "secretKeyRef": reference}]})["env"]
    assert {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": reference}} in env


@pytest.mark.parametrize("also", [[], [{"name": "AWS_ENDPOINT_URL_S3", "value": "https://other"}]])
def test_an_endpoint_is_that_of_s3_and_never_of_the_service_that_takes_identity_tokens(
    also: list[dict[str, str]],
) -> None:
    given = [{"name": "AWS_ENDPOINT_URL", "value": "https://objects"}, *also]
    env = {entry["name"]: entry.get("value") for entry in container_of(worker={"env": given})["env"]}
    assert "AWS_ENDPOINT_URL" not in env
    assert env["AWS_ENDPOINT_URL_S3"] == ("https://other" if also else "https://objects")


def test_the_model_cache_is_where_the_hub_looks() -> None:
    container = container_of(worker={"modelCacheClaim": "models"})
    (home,) = [entry["value"] for entry in container["env"] if entry["name"] == "HF_HOME"]
    assert home in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_scheduling_is_passed_on() -> None:
    worker = {
        "nodeSelector": {"gpu": "h100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "priorityClassName": "low",
    }
    pod = pod_of(worker=worker)
    assert {name: pod[name] for name in worker} == worker


def test_where_every_node_is_tainted_planning_finds_one_too() -> None:
    tolerations = [{"key": "gpu", "operator": "Exists"}]
    world = World(raw=spec_of(worker={"tolerations": tolerations, "nodeSelector": {"gpu": "h100"}})).run()
    pod = world.manifests["plan"]["spec"]["template"]["spec"]
    assert pod["tolerations"] == tolerations
    assert "nodeSelector" not in pod, "planning needs no GPU"


def test_failures_are_told_apart_by_exit_code_with_disruptions_first() -> None:
    spec = World().planned().manifests["generate"]["spec"]
    rules = [
        (rule["action"], rule.get("onExitCodes", {}).get("values"))
        for rule in spec["podFailurePolicy"]["rules"]
    ]
    assert rules == [("Ignore", None), ("Ignore", [75]), ("FailJob", [64, 78]), ("FailIndex", [65])]
    assert (spec["backoffLimitPerIndex"], spec["completions"], spec["podReplacementPolicy"]) == (
        3,
        3,
        "Failed",
    )


def test_annotations_for_scrapers_are_on_the_pods_that_serve_metrics_and_only_if_asked_for() -> None:
    def annotations(world: World, step: str) -> dict[str, str]:
        found: dict[str, str] = world.manifests[step]["spec"]["template"]["metadata"].get("annotations", {})
        return found

    assert annotations(World().planned(), "generate") == {}
    world = World(settings=Settings(pod_defaults=PodDefaults(scrape_annotations=True))).planned()
    assert annotations(world, "plan") == {}
    (port,) = world.manifests["generate"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert annotations(world, "generate") == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port["containerPort"]),
        "prometheus.io/path": "/metrics",
    }


def test_names_fit_into_a_label_for_any_number_of_shards() -> None:
    assert len(f"{children.child_name('x' * 40, children.Step.FINALIZE)}-99999") <= 63
    assert len(f"{children.child_name('x' * 40, children.Step.GENERATE)}-9999999") <= 63


def test_a_started_job_keeps_its_image() -> None:
    world = World(settings=Settings(worker_image="worker:1")).run()
    world.settings = Settings(worker_image="worker:2")
    world.planned()
    container = world.manifests["generate"]["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], world.status.worker_image) == ("worker:1", "worker:1")


@pytest.mark.parametrize("step", ["plan", "generate", "finalize"])
@pytest.mark.parametrize("version", ["1.33", "1.36"])
def test_kubernetes_knows_every_field(step: str, version: str) -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="make setup installs kubernetes-validate"
    )
    world = World(raw=spec_of(worker={"modelCacheClaim": "m"}, engine={"tensorParallelSize": 2})).planned(
        shards=1
    )
    world.succeed(0).job_says(children.Step.GENERATE, complete=True).run()
    kubernetes_validate.validate(world.manifests[step], version, strict=True)


def test_the_recipe_carries_templates_so_that_it_needs_no_library() -> None:
    world = World().run()
    assert world.config is not None
    assert LIBRARY["faq"].instruction.splitlines()[0] in world.config.recipe
