"""What pods have on disk: claims by URI, the model cache, and no paths of a node."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import Phase
from rephrase_operator.pod_defaults import PodDefaults
from rephrase_operator.reconcile import children
from rephrase_operator.settings import Settings
from tests.operator.builders import World, spec_of


def pods_of(settings: Settings | None = None, **changes: Any) -> dict[str, dict[str, Any]]:
    """The pod specs of a job's steps."""
    chosen = settings or Settings()
    world = World(raw=spec_of(**changes), settings=chosen).planned()
    assert world.job.spec is not None
    job, spec = world.job, world.job.spec
    jobs = {
        "plan": children.plan_job(job, spec, chosen),
        "generate": children.generate_job(job, spec, chosen, spec.engine.settings, shards=3, suspended=False),
        "finalize": children.finalize_job(job, spec, chosen),
        "mix": children.mix_job(job, spec, chosen, shards=2),
    }
    return {step: made["spec"]["template"]["spec"] for step, made in jobs.items()}


def mounts(pod: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Mounted claims by path: the claim's name and whether it can be written."""
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    return {
        mount["mountPath"]: (claims[mount["name"]], not mount.get("readOnly"))
        for mount in pod["containers"][0]["volumeMounts"]
        if mount["name"] in claims
    }


def scratch(pod: dict[str, Any]) -> set[str]:
    """Paths of the volumes that are gone with the pod."""
    names = {volume["name"] for volume in pod["volumes"] if volume.get("emptyDir") == {}}
    return {one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if one["name"] in names}


def env(pod: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in pod["containers"][0]["env"] if "value" in one}


def test_every_claim_is_mounted_once_where_it_is_needed() -> None:
    pods = pods_of(
        source={"uri": "pvc://web/in"}, output={"uri": "pvc://team.out"}, model={"name": "pvc://models/tiny"}
    )
    everything = {
        "/pvc/team.out": ("team.out", True),
        "/pvc/web": ("web", False),
        "/pvc/models": ("models", False),
    }
    assert mounts(pods["plan"]) == mounts(pods["generate"]) == everything
    assert mounts(pods["finalize"]) == {"/pvc/team.out": ("team.out", True)}
    told = "team.out=/pvc/team.out,web=/pvc/web,models=/pvc/models"
    assert env(pods["plan"])["REPHRASE_CLAIMS"] == env(pods["generate"])["REPHRASE_CLAIMS"] == told
    assert env(pods["finalize"])["REPHRASE_CLAIMS"] == "team.out=/pvc/team.out"


def test_original_data_and_tokenizer_are_where_a_mix_is_planned_and_made() -> None:
    pods = pods_of(
        source={"uri": "pvc://web/in"},
        output={"uri": "pvc://out"},
        model={"name": "pvc://models/tiny"},
        mix={"source": {"uri": "pvc://clean/o"}},
        worker={"modelCacheClaim": "cache"},
    )
    needed = {"/pvc/out": ("out", True), "/pvc/models": ("models", False), "/pvc/clean": ("clean", False)}
    cached = {"/var/cache/huggingface": ("cache", True)}
    assert mounts(pods["mix"]) == needed | cached
    assert mounts(pods["plan"]) == needed | cached | {"/pvc/web": ("web", False)}
    assert "/pvc/clean" not in mounts(pods["generate"])
    assert mounts(pods["finalize"]) == {"/pvc/out": ("out", True)}


def test_an_absolute_path_of_original_data_needs_the_installers_consent() -> None:
    world = World(raw=spec_of(mix={"source": {"uri": "/data/original"}})).run()
    assert world.reason(ConditionType.ACCEPTED) == f"False/{ConditionReason.LOCAL_PATH}"
    assert "spec.mix.source.uri" in (world.status.message or "")


def test_a_claim_that_several_things_lie_on_is_one_volume_and_can_be_written_if_one_of_them_is() -> None:
    pods = pods_of(
        source={"uri": "pvc://data/in"},
        output={"uri": "pvc://data/out"},
        model={"name": "pvc://data/tiny"},
        worker={"modelCacheClaim": "data"},
    )
    for step in ("plan", "generate"):
        volumes = [one for one in pods[step]["volumes"] if "persistentVolumeClaim" in one]
        assert len(volumes) == 1
        assert mounts(pods[step]) == {"/pvc/data": ("data", True), env(pods[step])["HF_HOME"]: ("data", True)}


def test_without_a_shared_cache_each_pod_has_a_scratch_volume_for_the_model() -> None:
    pods = pods_of()
    for step in ("plan", "generate"):
        assert scratch(pods[step]) == {"/tmp", env(pods[step])["HF_HOME"]}
        assert "REPHRASE_MODEL_CACHE" not in env(pods[step])
    assert "HF_HOME" not in env(pods["finalize"])


def test_every_pod_can_write_to_tmp_and_to_nothing_else_of_its_image() -> None:
    for pod in pods_of().values():
        assert "/tmp" in scratch(pod)
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_with_a_shared_cache_the_pods_are_told_so() -> None:
    pods = pods_of(worker={"modelCacheClaim": "models"})
    for step in ("plan", "generate"):
        assert mounts(pods[step]) == {env(pods[step])["HF_HOME"]: ("models", True)}
        assert env(pods[step])["REPHRASE_MODEL_CACHE"] == "shared"
        assert scratch(pods[step]) == {"/tmp"}
    assert mounts(pods["finalize"]) == {}


def test_claims_belong_to_the_workers_group_unless_the_installer_says_otherwise() -> None:
    claimed = {"output": {"uri": "pvc://data/out"}}
    assert pods_of(**claimed)["finalize"]["securityContext"]["fsGroup"] == 10001
    assert "fsGroup" not in pods_of()["generate"]["securityContext"]
    other = Settings(pod_defaults=PodDefaults(pod_security_context={"fsGroup": 3000}))
    assert pods_of(other, **claimed)["finalize"]["securityContext"]["fsGroup"] == 3000


@pytest.mark.parametrize("field", ["source", "output"])
def test_a_path_on_the_pods_own_disk_is_refused_before_anything_starts(field: str) -> None:
    world = World(raw=spec_of(**{field: {"uri": "/data"}})).run()
    held = world.status.condition(ConditionType.ACCEPTED)
    assert held is not None
    assert (held.status, held.reason) == ("False", ConditionReason.LOCAL_PATH)
    assert f"spec.{field}.uri" in held.message
    assert "pvc://" in held.message
    assert (world.phase, world.manifests) == (Phase.PENDING, {})
    world.raw[field] = {"uri": "pvc://data/here"}
    assert world.run().phase is Phase.PLANNING


def test_where_the_installer_allows_paths_they_are_taken() -> None:
    world = World(raw=spec_of(output={"uri": "/data"}), settings=Settings(allow_local_paths=True))
    assert world.run().phase is Phase.PLANNING


def test_a_model_may_lie_in_the_workers_image() -> None:
    assert World(raw=spec_of(model={"name": "/models/tiny"})).run().phase is Phase.PLANNING
