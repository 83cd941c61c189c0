"""The engine's settings of a job: resolved once, kept, and resolved again when what is asked for changes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import EngineStatus, Phase, RephraseJobStatus, parse_status
from rephrase_operator.library import library
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile import engine_profile
from rephrase_operator.settings import Settings
from rephrase_worker.spec import EngineSettings, Recipe, Speculation
from tests.operator.builders import ON_CPUS, World, spec_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMOLLM = {"name": "HuggingFaceTB/SmolLM2-1.7B-Instruct"}
APPLIED = "True/ProfileApplied"
LARGE = {"name": "openai/gpt-oss-120b"}


def world_of(**changes: Any) -> World:
    return World(raw=spec_of(**({"model": SMOLLM} | changes)))


def engine_of(world: World) -> EngineStatus:
    assert world.status.engine is not None
    return world.status.engine


def file_of(world: World) -> EngineSettings:
    """What pods that start now are given."""
    assert world.config is not None
    return EngineSettings.model_validate_json(world.config.engine)


def test_the_settings_are_resolved_before_anything_starts_and_shown() -> None:
    world = world_of(suspend=True).run()
    engine = engine_of(world)
    assert (engine.profile, engine.gpu) == ("smollm2-1.7b-instruct/production", "H100-80GB")
    assert (engine.tokens_per_second_per_gpu, engine.figure) == (9220, "assumed")
    assert "assumed to be H100-80GB" in engine.why
    shown = world.status.to_api()["engine"]
    assert shown["settings"]["maxNumSeqs"] == 2048
    assert world.jobs == {}


def test_a_worker_gets_settings_and_needs_to_know_no_profiles() -> None:
    world = world_of(engine={"maxNumSeqs": 99}).planned(suffix_speculation=True)
    assert world.config is not None
    assert "profile" not in json.loads(world.config.engine)
    assert file_of(world) == engine_of(world).settings
    assert (file_of(world).max_num_seqs, file_of(world).max_num_batched_tokens) == (99, 16384)


def test_the_planner_is_told_what_is_expected() -> None:
    world = world_of().run()
    assert world.config is not None
    assert Recipe.model_validate_json(world.config.recipe).tokens_per_second_per_gpu == 9220


def test_suffix_speculation_waits_for_what_planning_finds_in_the_image() -> None:
    planning = world_of().run()
    assert file_of(planning).speculation is None
    assert engine_of(planning).tokens_per_second_per_gpu == 9220
    has = world_of().planned(suffix_speculation=True)
    speculation = file_of(has).speculation
    assert speculation is not None
    assert speculation.method == "suffix"
    assert has.reason(ConditionType.PROFILE_APPLIED) == "True/ProfileApplied"


def test_without_suffix_speculation_the_condition_says_what_is_lost() -> None:
    world = world_of().planned()
    speculation = file_of(world).speculation
    assert speculation is not None
    assert speculation.method == "ngram"
    assert engine_of(world).tokens_per_second_per_gpu == 5255
    assert world.reason(ConditionType.PROFILE_APPLIED) == "False/SuffixSpeculationMissing"
    held = world.status.condition(ConditionType.PROFILE_APPLIED)
    assert held is not None
    assert "5,255 instead of 9,220" in held.message
    assert "docs/profiles.md" in held.message
    assert [event for event in world.events if event.reason == "SuffixSpeculationMissing"]


def test_the_workers_ask_for_the_gpus_of_the_resolved_settings() -> None:
    world = world_of(model=LARGE).planned()
    assert world.jobs["generate"].gpus == 2
    pod = world.manifests["generate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": 2}
    assert "shm" in [volume["name"] for volume in pod["volumes"]]
    assert file_of(world).tensor_parallel_size == 2
    plan = world.manifests["plan"]["spec"]["template"]["spec"]["containers"][0]
    assert "nvidia.com/gpu" not in plan["resources"].get("limits", {})


def test_the_finephrase_example_gets_the_settings_of_the_published_run() -> None:
    raw = yaml.safe_load((EXAMPLES / "rephrasejob-finephrase.yaml").read_text())["spec"]
    assert "engine" not in raw
    world = World(raw=raw, library=dict(library())).planned(suffix_speculation=True)
    assert file_of(world) == EngineSettings(
        tensor_parallel_size=1,
        max_model_len=8192,
        max_num_seqs=2048,
        max_num_batched_tokens=16384,
        gpu_memory_utilization=0.90,
        enable_prefix_caching=True,
        speculation=Speculation(method="suffix", num_speculative_tokens=32),
    )
    assert "as worker.nodeSelector says" in engine_of(world).why


BAD = [
    ({"engine": {"profile": "smollm"}}, "UnknownProfile", "qwen3-next-80b-a3b-thinking"),
    ({"engine": {"profile": "fastest"}, "model": {"name": "me/mine-7b"}}, "UnknownProfile", "me/mine-7b"),
    ({"worker": {"gpu": "H1000"}}, "UnknownGpu", "RTX-4090"),
    (
        {"worker": {"gpu": "L4"}, "model": {"name": "Qwen/Qwen3-14B"}},
        "ModelDoesNotFit",
        "tensorParallelSize to 2",
    ),
    (
        {"model": LARGE, "worker": {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}}},
        "ModelDoesNotFit",
        "Size to 4",
    ),
]


@pytest.mark.parametrize(("changes", "reason", "says"), BAD)
def test_what_can_not_work_is_refused_before_anything_is_made(
    changes: dict[str, Any], reason: str, says: str
) -> None:
    world = world_of(**changes).run()
    assert world.reason(ConditionType.ACCEPTED) == f"False/{reason}"
    assert (world.phase, world.jobs, world.config) == (Phase.PENDING, {}, None)
    assert says in (world.status.message or "")
    assert [event.type for event in world.events if event.reason == reason] == ["Warning"]
    world.edit(engine={"profile": "none"}, worker={}, model=SMOLLM).run()
    assert world.reason(ConditionType.ACCEPTED) == "True/Accepted"
    assert world.phase is Phase.PLANNING


@pytest.mark.parametrize(("changes", "reason", "says"), BAD[2:3] + BAD[:1])
def test_a_running_job_keeps_its_settings_when_a_change_can_not_be_followed(
    changes: dict[str, Any], reason: str, says: str
) -> None:
    world = world_of().planned(suffix_speculation=True).running(0).run()
    before = file_of(world), engine_of(world)
    world.edit(**changes).run()
    assert (file_of(world), engine_of(world)) == before
    assert world.phase is Phase.RUNNING
    assert world.reason(ConditionType.PROFILE_APPLIED) == f"False/{reason}"
    held = world.status.condition(ConditionType.PROFILE_APPLIED)
    assert held is not None
    assert says in held.message
    assert "keep the settings" in held.message
    world.edit(engine={}, worker={}).run()
    assert world.reason(ConditionType.PROFILE_APPLIED) == "True/ProfileApplied"


LLAMA = {"name": "meta-llama/Llama-3.3-70B-Instruct"}


def test_a_model_without_a_profile_is_refused_when_planning_has_seen_its_size() -> None:
    world = world_of(model=LLAMA).planned(weights_bytes=141 * 10**9)
    assert world.phase is Phase.FAILED
    assert world.reason(ConditionType.FAILED) == "True/ModelDoesNotFit"
    assert "Set engine.tensorParallelSize to 2" in (world.status.message or "")
    assert "keep the settings" not in (world.status.message or "")
    assert "generate" not in world.jobs, "no GPU was asked for"
    fits = world_of(model=LLAMA, engine={"tensorParallelSize": 4}).planned(weights_bytes=141 * 10**9)
    assert fits.jobs["generate"].gpus == 4
    assert world_of(model=LLAMA).planned().phase is Phase.RUNNING, "nothing is known of its size"


def test_a_running_job_keeps_its_gpus_when_a_change_would_not_fit() -> None:
    world = world_of(model=LLAMA, engine={"tensorParallelSize": 4}).planned(weights_bytes=141 * 10**9)
    world.running(0).run().edit(engine={"tensorParallelSize": 1}).run()
    assert world.phase is Phase.RUNNING
    assert file_of(world).tensor_parallel_size == 4
    assert world.reason(ConditionType.PROFILE_APPLIED) == "False/ModelDoesNotFit"


def test_another_version_of_a_profile_does_not_reach_a_job_that_has_started() -> None:
    world = world_of().planned(suffix_speculation=True).running(0).run()
    slower = EngineSettings(max_num_seqs=7)
    world.status = world.status.model_copy(
        update={"engine": engine_of(world).model_copy(update={"settings": slower})}
    )
    world.run()
    assert file_of(world) == slower, "as the earlier operator has resolved it"
    world.edit(engine={"blockSize": 16}).run()
    assert (file_of(world).max_num_seqs, file_of(world).block_size) == (2048, 16)


def test_a_job_that_was_started_without_profiles_keeps_its_settings() -> None:
    world = world_of(engine={"maxNumSeqs": 5}).planned().running(0).run()
    raw = world.status.to_api()
    del raw["engine"]
    world.status = parse_status(raw)
    world.run()
    assert file_of(world) == EngineSettings(max_num_seqs=5)
    assert engine_of(world).profile == "none"
    assert "knew no profiles" in engine_of(world).why


def test_a_status_of_a_newer_operator_is_read() -> None:
    raw = world_of().run().status.to_api()
    raw["engine"]["settings"]["warpDrive"] = True
    raw["engine"]["colour"] = "blue"
    assert parse_status(raw).engine == parse_status(world_of().run().status.to_api()).engine


@pytest.mark.parametrize(
    ("changes", "settings", "profile", "reason"),
    [
        ({}, ON_CPUS, "none", "False/NoProfile"),
        ({"engine": {"backend": "simulated"}}, Settings(), "none", "False/NoProfile"),
        ({"engine": {"profile": "none"}}, Settings(), "none", "False/NoProfile"),
        (
            {"engine": {"profile": "baseline"}},
            Settings(),
            "smollm2-1.7b-instruct/baseline",
            "True/ProfileApplied",
        ),
        ({"model": {"name": "me/mine-7b"}}, Settings(), "baseline", "False/UnknownModel"),
        ({"engine": {"profile": "qwen3-4b"}}, Settings(), "qwen3-4b/production", APPLIED),
    ],
)
def test_which_profile_is_applied(
    changes: dict[str, Any], settings: Settings, profile: str, reason: str
) -> None:
    world = world_of(**changes)
    world.settings = settings
    world.run()
    assert engine_of(world).profile == profile
    assert world.reason(ConditionType.PROFILE_APPLIED) == reason


def test_the_same_is_decided_again() -> None:
    world = world_of().run()
    assert world.job.spec is not None
    judge = partial(engine_profile.judge, world.job.spec, node_selector={}, accelerated=True)
    again = judge(world.status)
    assert (again.engine, again.reason) == (world.status.engine, "ProfileApplied")
    assert judge(RephraseJobStatus()).engine == again.engine


def test_the_jobs_attempts_count_for_the_settings_that_were_resolved() -> None:
    world = (
        world_of(engine={"maxNumSeqs": 2048}).planned(suffix_speculation=True).running(0).fail_pod(0).run()
    )
    assert world.status.failures[0].attempts == 1
    # The profile says the same: the workers' settings stay as they are, and so do the counts.
    world.edit(engine={}).run()
    assert world.status.failures[0].attempts == 1
    world.edit(engine={"maxNumSeqs": 512}).run()
    assert world.status.failures[0].attempts == 0
    assert world.jobs[Step.GENERATE].gpus == 1
