"""The step that mixes: an Indexed Job after finalizing, whose last pod reports the whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes_validate import validate as check_manifest

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import MixedPrompt, Phase
from rephrase_operator.observed.views import Step
from rephrase_worker.spec import MixReport, Reason, Recipe
from tests.operator.builders import World, spec_of
from tests.operator.test_validity import job_is_valid, job_of, refusals

MIX: dict[str, Any] = {"source": {"uri": "s3://bucket/original"}, "share": {"faq": 0.7}}
WHOLE: dict[str, Any] = {
    "rows": 90,
    "tokens": 1000,
    "synthetic_tokens": 620,
    "original_tokens": 380,
    "share_asked": 0.6231,
    "share_reached": 0.62,
    "shares": {"faq": (0.7, 0.699), "math": (0.5, 0.5)},
}


def generated(**spec: Any) -> World:
    """A job with one shard, which is finished."""
    world = World(raw=spec_of(**({"mix": MIX} | spec))).planned(shards=1)
    return world.succeed(0).job_says(Step.GENERATE, complete=True).run()


def mixing(shards: int = 2, **spec: Any) -> World:
    """A job that has begun to mix."""
    return generated(**spec).finalized(mix_shards=shards).run()


def test_a_job_mixes_after_finalizing_and_succeeds_with_the_figures() -> None:
    world = generated()
    assert Step.MIX not in world.jobs
    world.finalized(mix_shards=2).run()
    assert (world.phase, world.status.message) == (Phase.MIXING, "Mixing: 0 of 2 shards done.")
    manifest = world.manifests[Step.MIX]["spec"]
    assert (manifest["completionMode"], manifest["completions"], manifest["parallelism"]) == ("Indexed", 2, 2)
    command = manifest["template"]["spec"]["containers"][0]["command"]
    assert command[:2] == ["rephrase-worker", "mix"]
    world.mixed(1)
    assert (world.phase, world.status.message) == (Phase.MIXING, "Mixing: 1 of 2 shards done.")
    assert world.status.mix is not None
    assert (world.status.mix.done, world.status.mix.total, world.status.mix.complete) == (1, 2, False)
    world.mixed(0, **WHOLE)
    assert (world.phase, world.reason(ConditionType.COMPLETE)) == (Phase.SUCCEEDED, "True/Succeeded")
    found = world.status.mix
    assert (found.done, found.total, found.complete, found.rows, found.share_reached) == (
        2,
        2,
        True,
        90,
        0.62,
    )
    assert found.prompts == [
        MixedPrompt(name="faq", share_asked=0.7, share_reached=0.699),
        MixedPrompt(name="math", share_asked=0.5, share_reached=0.5),
    ]
    assert world.status.message == (
        "30 documents, 60 texts, 0 errors. Mixed: 90 rows, 62.0% of the tokens synthetic (62.3% asked for)."
    )
    reasons = [event.reason for event in world.events]
    assert reasons[-3:] == ["Finalizing", "Mixing", "Succeeded"]
    assert world.status.progress is not None
    assert world.status.progress.percent == "100%"


def test_the_recipe_has_what_the_spec_asks_for() -> None:
    world = mixing()
    assert world.config is not None
    recipe = Recipe.model_validate_json(world.config.recipe)
    assert recipe.mix is not None
    assert (recipe.mix.source.uri, recipe.mix.share) == ("s3://bucket/original", {"faq": 0.7})


def test_a_job_that_asks_for_no_mix_has_none() -> None:
    world = World(raw=spec_of()).planned(shards=1).succeed(0).job_says(Step.GENERATE, complete=True).run()
    world.finalized().run()
    assert (world.phase, Step.MIX in world.jobs, world.status.mix) == (Phase.SUCCEEDED, False, None)


def test_a_mix_that_is_smaller_than_asked_for_says_so_at_the_end() -> None:
    world = mixing().mixed(0, **WHOLE, short="The mix is smaller than asked for: too few outputs.")
    assert world.phase is Phase.SUCCEEDED
    assert "too few outputs" in (world.status.message or "")


def test_a_dataset_with_gaps_is_not_mixed() -> None:
    world = generated().finalized(samples_missing=3, mix_shards=0).run()
    assert (world.phase, Step.MIX in world.jobs) == (Phase.FAILED, False)


def test_a_dataset_without_any_text_has_nothing_to_mix() -> None:
    world = World(raw=spec_of(mix=MIX)).planned(shards=1, contract_version=2)
    world.succeed(0).job_says(Step.GENERATE, complete=True).run().finalized(mix_shards=0).run()
    assert world.reason(ConditionType.FAILED) == "True/NothingToMix"
    assert "No output has any text" in (world.status.message or "")


def test_an_image_that_can_not_mix_is_named_as_the_cause() -> None:
    world = World(raw=spec_of(mix=MIX)).planned(shards=1, contract_version=1)
    world.succeed(0).job_says(Step.GENERATE, complete=True).run().finalized(mix_shards=0).run()
    assert "image is older than this operator" in (world.status.message or "")


def test_mixing_comes_before_publishing() -> None:
    world = mixing(publish={"repository": "me/data"})
    assert Step.PUBLISH not in world.jobs
    world.mixed(0).mixed(1, **WHOLE).run()
    assert (world.phase, Step.PUBLISH in world.jobs) == (Phase.PUBLISHING, True)
    assert world.published().phase is Phase.SUCCEEDED
    assert "Mixed: 90 rows" in (world.status.message or "")


def test_a_shard_that_can_not_be_made_fails_the_job_with_the_reason_of_its_worker() -> None:
    world = mixing()
    failed = MixReport(failure={"reason": Reason.SOURCE_CHANGED, "message": "o.parquet has changed."})
    world.pod(
        Step.MIX, "m", index=1, phase="Failed", exit_code=65, ended=world.now, termination=failed.to_json()
    )
    world.job_says(Step.MIX, failed=True, failed_reason="MaxFailedIndexesExceeded", failed_message="1").run()
    assert world.reason(ConditionType.FAILED) == "True/SourceChanged"
    assert world.status.message == (
        "o.parquet has changed. The dataset is complete at s3://bucket/out. Mend the cause, then mix it with "
        "`rephrase mix s3://bucket/out`."
    )


def test_an_attempt_that_failed_is_named_while_others_run() -> None:
    failed = MixReport(failure={"reason": Reason.INTERNAL, "message": "The store did not answer."})
    world = mixing().pod(Step.MIX, "m", index=1, phase="Failed", exit_code=70, termination=failed.to_json())
    world.run()
    assert world.phase is Phase.MIXING
    assert world.status.message == (
        "Mixing: 0 of 2 shards done. The last one failed: InternalError: The store did not answer."
    )


def test_a_report_that_was_lost_with_its_pod_is_made_again() -> None:
    world = mixing().mixed(0).mixed(1)
    world.job_says(Step.MIX, complete=True).run()
    assert Step.MIX in world.jobs, "the pods of the Job may still be on their way"
    uid = world.jobs[Step.MIX].uid
    world.after(seconds=20).run()
    assert world.jobs[Step.MIX].uid != uid
    world.mixed(1, **WHOLE)
    assert world.phase is Phase.SUCCEEDED


def test_a_suspended_mix_stops_and_goes_on() -> None:
    world = mixing().mixed(0).edit(suspend=True).run()
    assert (world.jobs[Step.MIX].suspended, world.phase) == (True, Phase.SUSPENDED)
    world.edit(suspend=False).run()
    assert (world.jobs[Step.MIX].suspended, world.phase) == (False, Phase.MIXING)
    assert world.mixed(1, **WHOLE).phase is Phase.SUCCEEDED


def test_a_job_that_is_suspended_while_finalizing_mixes_only_when_it_goes_on() -> None:
    world = generated().edit(suspend=True).finalized(mix_shards=2).run()
    assert world.phase is Phase.SUSPENDED
    assert world.status.message == "Suspended; the next step is to mix."
    assert world.edit(suspend=False).run().phase is Phase.MIXING


def test_the_number_of_pods_follows_the_job_and_never_becomes_none() -> None:
    world = mixing(shards=9, parallelism=4)
    assert world.jobs[Step.MIX].parallelism == 4
    assert world.edit(parallelism=40).run().jobs[Step.MIX].parallelism == 9
    assert world.edit(parallelism=0).run().jobs[Step.MIX].parallelism == 1


def test_a_mix_that_can_not_start_fails_the_job_at_the_deadline() -> None:
    world = mixing().pod(Step.MIX, "m", index=0, trouble="Unschedulable", trouble_message="0/3 nodes")
    world.run().after(seconds=1800).run()
    assert world.reason(ConditionType.FAILED) == "True/PendingDeadlineExceeded"


def test_a_job_that_ends_while_pods_mix_stops_them() -> None:
    world = mixing().pod(Step.MIX, "m", index=0, phase="Running", started=World().now).run()
    world.mixed(1, **WHOLE).run()
    assert (world.phase, world.jobs[Step.MIX].suspended) == (Phase.SUCCEEDED, True)


@pytest.mark.parametrize("shards", [1, 100_000])
def test_the_job_is_one_that_the_api_server_takes(shards: int) -> None:
    world = mixing(shards=shards, parallelism=10_000)
    manifest = json.loads(json.dumps(world.manifests[Step.MIX]))
    check_manifest(manifest, "1.36", strict=True)
    job_is_valid(manifest["spec"])


@pytest.mark.parametrize("share", [0, 1, 0.0, 1.0])
def test_a_share_of_nothing_or_of_everything_is_refused_as_no_mix(share: float) -> None:
    (message,) = refusals(job_of(mix=MIX | {"share": {"faq": share}})).values()
    assert "a share of 0 or 1 is no mix" in message


@pytest.mark.parametrize(
    ("mix", "field"),
    [
        ({"share": {"faq": 60}}, "spec.mix.share"),
        ({"share": {"faq": -0.1}}, "spec.mix.share"),
        ({"share": {"fqa": 0.6}}, "spec.mix.share"),
        ({"source": {"uri": "http://host/file"}}, "spec.mix.source.uri"),
        ({"source": {"uri": "s3://key:secret@bucket/in"}}, "spec.mix.source.uri"),
        ({"source": {"uri": "s3://bucket/in", "revision": "main"}}, "spec.mix.source.revision"),
        ({"tokens": 0}, "spec.mix.tokens"),
        ({"maxRepetitions": 0}, "spec.mix.maxRepetitions"),
        ({"seed": -1}, "spec.mix.seed"),
        ({"shards": 100_001}, "spec.mix.shards"),
    ],
)
def test_nonsense_in_a_mix_is_refused_by_the_field(mix: dict[str, Any], field: str) -> None:
    assert any(found.startswith(field) for found in refusals(job_of(mix=MIX | mix)))


def test_a_prompt_with_the_name_of_the_folder_is_refused_where_there_is_a_mix() -> None:
    prompts = [{"name": "mix", "template": "{{document}}"}]
    without = {"source": MIX["source"]}
    assert "spec.prompts" in refusals(job_of(prompts=prompts, mix=without))
    assert refusals(job_of(prompts=prompts)) == {}
