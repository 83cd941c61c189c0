"""The installer's settings of the pods of jobs: which pods get them, and that a job keeps its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import kubernetes_validate
import pytest

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import Phase
from rephrase_operator.observed.views import Step
from rephrase_operator.pod_defaults import OWN_VARIABLES, PodDefaults, kept
from rephrase_operator.settings import Settings
from rephrase_worker.profiles import PRODUCT_LABEL
from rephrase_worker.spec import FinalReport
from tests.operator.builders import World, spec_of

GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists"}
BATCH_TAINT = {"key": "batch", "value": "yes"}
GPU_CLUSTER = {
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "labels": {"team": "data"},
    "annotations": {"example.com/owner": "data"},
    "priorityClassName": "batch",
    "runtimeClassName": "nvidia",
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [GPU_TAINT],
    "stepNodeSelector": {"pool": "cpu"},
    "stepTolerations": [BATCH_TAINT],
    "env": {"HTTPS_PROXY": "http://proxy:3128"},
}


def settings_of(**changes: Any) -> Settings:
    """Settings of an installer."""
    return Settings(pod_defaults=PodDefaults.model_validate(changes))


def world_of(settings: Settings, **changes: Any) -> World:
    return World(raw=spec_of(**changes), settings=settings)


def templates(settings: Settings, **changes: Any) -> dict[str, dict[str, Any]]:
    """The pod templates of a job's steps."""
    world = world_of(settings, **changes).planned(shards=1)
    world.succeed(0).job_says(Step.GENERATE, complete=True).run()
    return {step: made["spec"]["template"] for step, made in world.manifests.items()}


def env(template: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in template["spec"]["containers"][0]["env"]}


def test_every_pod_of_a_job_gets_what_the_installer_sets_for_all() -> None:
    found = templates(settings_of(**GPU_CLUSTER))
    assert set(found) == {"plan", "generate", "finalize"}
    for template in found.values():
        pod, container = template["spec"], template["spec"]["containers"][0]
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["priorityClassName"] == "batch"
        assert container["imagePullPolicy"] == "Always"
        assert template["metadata"]["labels"]["team"] == "data"
        assert template["metadata"]["labels"]["rephrase.dev/job"] == "books"
        assert template["metadata"]["annotations"] == {"example.com/owner": "data"}
        assert env(template)["HTTPS_PROXY"] == "http://proxy:3128"


@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_kubernetes_knows_every_field(version: str) -> None:
    for template in templates(settings_of(**GPU_CLUSTER)).values():
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        kubernetes_validate.validate(pod, version, strict=True)


def test_only_pods_that_generate_are_placed_on_nodes_with_gpus() -> None:
    for step, template in templates(settings_of(**GPU_CLUSTER)).items():
        pod = template["spec"]
        generating = step == "generate"
        assert pod["nodeSelector"] == {"pool": "gpu" if generating else "cpu"}
        assert pod["tolerations"] == [GPU_TAINT if generating else BATCH_TAINT]
        assert pod.get("runtimeClassName") == ("nvidia" if generating else None)


def test_the_simulated_engine_is_placed_like_a_step_that_needs_no_gpu() -> None:
    pod = templates(settings_of(**GPU_CLUSTER), engine={"backend": "simulated"})["generate"]["spec"]
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"pool": "cpu"}, [BATCH_TAINT])
    assert "runtimeClassName" not in pod


def test_workers_on_cpus_have_the_places_of_workers_and_no_runtime_class() -> None:
    settings = settings_of(**GPU_CLUSTER | {"acceleratorResource": ""})
    pod = templates(settings)["generate"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert "runtimeClassName" not in pod


def test_a_jobs_own_settings_are_added_and_win() -> None:
    own = {
        "nodeSelector": {"gpu": "h100", "pool": "mine"},
        "tolerations": [{"key": "spot", "operator": "Exists"}, GPU_TAINT],
        "priorityClassName": "urgent",
        "env": [{"name": "HF_ENDPOINT", "value": "https://mine"}],
    }
    defaults = GPU_CLUSTER | {"env": {"HF_ENDPOINT": "https://mirror", "NO_PROXY": ".svc"}}
    found = templates(settings_of(**defaults), worker=own)
    pod = found["generate"]["spec"]
    assert pod["nodeSelector"] == {"pool": "mine", "gpu": "h100"}
    assert pod["tolerations"] == [GPU_TAINT, {"key": "spot", "operator": "Exists"}], "each once"
    assert pod["priorityClassName"] == "urgent"
    assert (env(found["plan"])["HF_ENDPOINT"], env(found["plan"])["NO_PROXY"]) == ("https://mine", ".svc")
    names = [one["name"] for one in pod["containers"][0]["env"]]
    assert len(names) == len(set(names)), "the API server keeps the last one, and warns"
    assert found["plan"]["spec"]["nodeSelector"] == {"pool": "cpu"}
    assert found["plan"]["spec"]["tolerations"] == [BATCH_TAINT, *own["tolerations"]]


@pytest.mark.parametrize("own", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("installers", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_jobs_endpoint_wins_by_whichever_of_its_two_names(own: str, installers: str) -> None:
    worker = {"env": [{"name": own, "value": "https://job"}]}
    found = env(templates(settings_of(env={installers: "https://installer"}), worker=worker)["generate"])
    assert found["AWS_ENDPOINT_URL_S3"] == "https://job"
    assert "AWS_ENDPOINT_URL" not in found


def test_variables_that_the_operator_sets_are_listed_as_its_own() -> None:
    claims = {"output": {"uri": "pvc://data/out"}, "worker": {"modelCacheClaim": "models"}}
    for template in templates(Settings(), **claims).values():
        assert env(template).keys() <= OWN_VARIABLES


def test_the_installers_node_selector_tells_the_engines_profile_which_gpu_there_is() -> None:
    selector = {PRODUCT_LABEL: "NVIDIA-L4"}
    engine = world_of(settings_of(nodeSelector=selector), model={"name": "Qwen/Qwen3-8B"}).run().status.engine
    asked = (
        world_of(Settings(), model={"name": "Qwen/Qwen3-8B"}, worker={"nodeSelector": selector})
        .run()
        .status.engine
    )
    assert engine is not None
    assert engine == asked


def test_a_model_of_the_hub_is_cached_in_the_installers_claim_unless_the_job_names_one() -> None:
    settings, hub = settings_of(modelCacheClaim="models"), {"name": "acme/tiny"}

    def claims(template: dict[str, Any]) -> list[str]:
        volumes = template["spec"]["volumes"]
        return [
            one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one
        ]

    found = templates(settings, model=hub)
    assert claims(found["plan"]) == claims(found["generate"]) == ["models"]
    assert claims(found["finalize"]) == []
    assert claims(templates(settings, model=hub, worker={"modelCacheClaim": "own"})["generate"]) == ["own"]
    assert claims(templates(settings, model={"name": "/models/tiny"})["generate"]) == []
    simulated = {"model": {"name": "simulated"}, "engine": {"backend": "simulated"}}
    assert claims(templates(settings, **simulated)["generate"]) == []


@pytest.mark.parametrize(("namespaces", "cached"), [(["default"], True), (["elsewhere"], False)])
def test_the_claim_is_that_of_the_namespaces_that_have_one(namespaces: list[str], cached: bool) -> None:
    settings = settings_of(modelCacheClaim="models", modelCacheNamespaces=namespaces)
    volumes = templates(settings, model={"name": "acme/tiny"})["generate"]["spec"]["volumes"]
    assert any("persistentVolumeClaim" in volume for volume in volumes) == cached


def test_new_settings_of_the_installer_change_nothing_of_a_job_that_has_started() -> None:
    old = settings_of(**GPU_CLUSTER)
    new = settings_of(runtimeClassName="other", tolerations=[BATCH_TAINT], acceleratorResource="amd.com/gpu")
    changed, kept_on = world_of(old).planned(shards=2), world_of(old).planned(shards=2)
    changed.settings = new
    for world in (changed, kept_on):
        world.running(0).running(1).run()
    assert changed.decide().actions == ()
    assert changed.reason(ConditionType.WORKERS_CURRENT) == "True/Current"
    for world in (changed, kept_on):  # Not even suspending brings the new ones in, or later steps.
        world.edit(suspend=True).run()
        world.pods.clear()
        world.run().edit(suspend=False).run()
        world.succeed(0).succeed(1).job_says(Step.GENERATE, complete=True).run()
        world.step_done(Step.FINALIZE, FinalReport(documents=20, samples_text=40)).run()
    assert changed.phase is Phase.SUCCEEDED
    assert changed.manifests == kept_on.manifests
    assert changed.jobs["generate"].uid == kept_on.jobs["generate"].uid


def test_a_lost_workers_job_is_made_again_with_the_settings_of_the_start() -> None:
    world = world_of(settings_of(**GPU_CLUSTER)).planned()
    first = world.manifests["generate"]
    world.settings = Settings()
    del world.jobs["generate"]
    assert world.run().manifests["generate"] == first


def test_the_same_job_applied_again_has_the_new_settings() -> None:
    world = world_of(settings_of(priorityClassName="new")).planned()
    assert world.manifests["generate"]["spec"]["template"]["spec"]["priorityClassName"] == "new"


def test_a_job_of_an_earlier_operator_goes_on_with_the_present_settings() -> None:
    world = world_of(Settings()).planned()
    hashed = world.jobs["generate"].workers_hash
    world.status = world.status.model_copy(update={"pod_defaults": None})
    world.run()
    assert world.reason(ConditionType.WORKERS_CURRENT) == "True/Current"
    assert world.jobs["generate"].workers_hash == hashed


def test_settings_that_a_newer_operator_has_kept_are_read_as_far_as_they_are_known() -> None:
    held = PodDefaults.model_validate(GPU_CLUSTER).to_status()
    assert kept(held | {"added": 1}) == PodDefaults.model_validate(GPU_CLUSTER)


def test_the_status_shows_only_what_is_set_and_survives_the_api_server() -> None:
    world = world_of(settings_of(**GPU_CLUSTER)).run()
    held = world.status.pod_defaults
    assert held is not None
    assert held["runtimeClassName"] == "nvidia"
    assert not {"modelCacheClaim", "modelCacheNamespaces", "scrapeAnnotations"} & held.keys()
    assert kept(held) == world.settings.pod_defaults


@pytest.mark.parametrize("name", ["podSecurityContext", "containerSecurityContext", "stepResources"])
def test_an_emptied_setting_stays_empty(name: str) -> None:
    emptied = PodDefaults.model_validate({name: {}})
    assert kept(emptied.to_status()) == emptied
    assert PodDefaults().to_status()[name], "a default is written out, for a later operator can have another"


@pytest.mark.parametrize("step", [Step.PLAN, Step.GENERATE])
def test_pods_that_the_api_server_refuses_for_an_unknown_class_are_explained_by_its_name(step: Step) -> None:
    settings = settings_of(runtimeClassName="nvidai", priorityClassName="btach")
    world = world_of(settings)
    world = world.run() if step is Step.PLAN else world.planned()
    world.after(seconds=timedelta(minutes=2).seconds).run()
    held = world.status.condition(ConditionType.WORKERS_READY)
    assert held is not None
    assert (held.status, held.reason) == ("False", "NoWorkers")
    assert "no PriorityClass btach?" in held.message
    assert ("no RuntimeClass nvidai?" in held.message) == (step is Step.GENERATE), "planning gets no GPU"


def test_a_default_claim_that_the_namespace_lacks_is_explained() -> None:
    world = world_of(settings_of(modelCacheClaim="models"), model={"name": "acme/tiny"}).run()
    lacks = 'persistentvolumeclaim "models" not found'
    world.pod(Step.PLAN, "plan", trouble="Unschedulable", trouble_message=lacks).run()
    held = world.status.condition(ConditionType.WORKERS_READY)
    assert held is not None
    assert lacks in held.message
    assert "the installer's default" in held.message
    own = world_of(Settings(), model={"name": "acme/tiny"}, worker={"modelCacheClaim": "models"}).run()
    own.pod(Step.PLAN, "plan", trouble="Unschedulable", trouble_message=lacks).run()
    held = own.status.condition(ConditionType.WORKERS_READY)
    assert held is not None
    assert "installer" not in held.message


def test_settings_as_large_as_can_be_fit_into_a_status() -> None:
    many = {f"VARIABLE_{number}": "x" * 250 for number in range(55)}
    world = world_of(settings_of(env=many)).run()
    assert kept(world.status.pod_defaults or {}).env == many
