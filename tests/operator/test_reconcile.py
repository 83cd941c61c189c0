"""The life of a RephraseJob, through the pure reconcile function."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import DatasetSummary, Phase
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile.lifecycle import reconcile
from rephrase_worker.spec import FinalReport, PlanReport, Reason, Recipe
from tests.operator.builders import START, World, spec_of


def test_outputs_that_are_left_out_are_finished_all_the_same() -> None:
    world = World().planned(shards=3)
    for shard in range(3):
        world.running(shard).run().succeed(shard)
    world.job_says(Step.GENERATE, complete=True).run()
    world.finalized(samples_text=35, samples_filtered=20, samples_error=5, output_tokens=1750)
    progress, dataset = world.status.progress, world.status.dataset
    assert progress is not None
    assert dataset is not None
    assert (world.phase, progress.percent, progress.samples_planned) == (Phase.SUCCEEDED, "100%", 60)
    assert (progress.samples_text, progress.samples_filtered, dataset.samples_filtered) == (35, 20, 20)
    assert world.status.message == "30 documents, 35 texts, 5 errors, 20 left out."


def test_a_job_runs_from_nothing_to_a_complete_dataset() -> None:
    world = World().run()
    assert (world.phase, world.status.start_time, set(world.jobs)) == (Phase.PLANNING, START, {"plan"})
    world.step_done(Step.PLAN, PlanReport(shards=3, documents=30, files=2)).run()
    assert (world.phase, world.jobs["generate"].parallelism) == (Phase.RUNNING, 2)
    for shard in range(3):
        world.running(shard).run().after(seconds=50).succeed(shard).run()
    world.job_says(Step.GENERATE, complete=True).run()
    assert (world.phase, world.status.generated) == (Phase.FINALIZING, True)
    world.finalized()
    progress = world.status.progress
    assert progress is not None
    assert (world.phase, world.reason(ConditionType.COMPLETE)) == (Phase.SUCCEEDED, "True/Succeeded")
    assert (progress.percent, progress.samples_text, progress.output_tokens) == ("100%", 60, 3000)
    assert progress.tokens_per_second == 20.0  # 3,000 tokens in 150 seconds of generating
    assert world.status.dataset == DatasetSummary(documents=30, samples_text=60, output_tokens=3000)
    assert world.status.message == "30 documents, 60 texts, 0 errors."
    assert [event.reason for event in world.events] == [
        "Planning",
        "Planned",
        "Running",
        "Finalizing",
        "Succeeded",
    ]


def test_the_recipe_is_frozen_before_anything_is_made_from_it() -> None:
    decided = World().decide()
    assert decided.status.start_time == START
    assert decided.actions == ()


def test_an_unknown_prompt_is_refused_with_the_names_there_are_and_mended_by_an_edit() -> None:
    world = World(raw=spec_of(prompts=[{"name": "fqa"}])).run()
    held = world.status.condition(ConditionType.ACCEPTED)
    assert held is not None
    assert (world.phase, held.reason, world.status.start_time) == (Phase.PENDING, "UnknownPrompt", None)
    assert "fqa" in held.message
    assert "faq, math" in held.message
    assert world.jobs == {}
    world.edit(prompts=[{"name": "faq"}]).run()
    assert world.phase is Phase.PLANNING


def test_a_prompt_with_a_template_needs_no_library() -> None:
    world = World(raw=spec_of(prompts=[{"name": "own", "template": "Say it again: {{document}}"}])).run()
    assert world.config is not None
    assert Recipe.model_validate_json(world.config.recipe).prompts[0].template.startswith("Say it again")


def test_the_recipe_survives_a_new_prompt_library() -> None:
    world = World().run()
    recipe = world.config
    world.library.clear()
    world.after(minutes=10).run()
    assert (world.config, world.phase) == (recipe, Phase.PLANNING)


def test_a_lost_recipe_that_can_not_be_made_again_fails_the_job() -> None:
    world = World().run()
    world.config = None
    world.library.clear()
    assert world.run().reason(ConditionType.FAILED) == "True/RecipeChanged"


def test_a_lost_recipe_is_made_again_when_it_is_the_same() -> None:
    world = World().run()
    recipe, world.config = world.config, None
    assert world.run().config == recipe


def test_children_of_an_earlier_job_of_the_same_name_are_waited_for_and_never_adopted() -> None:
    world = World().run()
    old = world.jobs["plan"]
    fresh = World(jobs={"plan": replace(old, owner_uid="another")})
    assert fresh.run().reason(ConditionType.ACCEPTED) == "Unknown/WaitingForOldChildren"
    assert (fresh.phase, fresh.decide().actions, fresh.decide().requeue_after) == (Phase.PENDING, (), 5.0)
    fresh.jobs.clear()
    assert fresh.run().phase is Phase.PLANNING


def test_a_name_that_is_taken_by_somebody_else_is_waited_for() -> None:
    world = World(taken=frozenset({"books-plan"}))
    assert world.run().phase is Phase.PENDING


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (Reason.SOURCE_NOT_FOUND, "No file matches /data/in."),
        (Reason.MODEL_NOT_FOUND, "There is no folder /models/tiny."),
        (Reason.OUTPUT_IN_USE, "The output belongs to default/other."),
        (Reason.OUTPUT_NOT_WRITABLE, "Permission denied."),
    ],
)
def test_a_failed_plan_fails_the_job_with_the_reason_that_the_planner_gave(
    reason: Reason, message: str
) -> None:
    world = World().run().step_fails(Step.PLAN, reason, message).run()
    held = world.status.condition(ConditionType.FAILED)
    assert held is not None
    assert (world.phase, held.reason, held.message) == (Phase.FAILED, reason.value, message)
    assert world.events[-1].type == "Warning"
    assert world.status.completion_time == START


def test_a_plan_whose_report_was_lost_is_made_again() -> None:
    world = World().run().job_says(Step.PLAN, complete=True).run()
    first = world.jobs["plan"].uid
    world.after(seconds=11).run()
    assert world.jobs["plan"].uid != first
    assert world.phase is Phase.PLANNING


def test_a_complete_job_whose_pod_was_not_seen_yet_is_waited_for() -> None:
    world = World().run().job_says(Step.PLAN, complete=True)
    first = world.jobs["plan"].uid
    assert world.run().jobs["plan"].uid == first
    assert world.decide().requeue_after == 1


def test_a_source_without_documents_goes_straight_to_the_end() -> None:
    world = World().planned(shards=0)
    assert (world.phase, "generate" in world.jobs) == (Phase.FINALIZING, False)
    world.finalized(documents=0, samples_text=0, output_tokens=0, prompt_tokens=0)
    assert world.phase is Phase.SUCCEEDED


def test_suspending_stops_the_workers_and_resuming_goes_on() -> None:
    world = World().planned().running(0, samples_text=4, documents_done=2, output_tokens=200).run()
    world.edit(suspend=True).run()
    assert world.jobs["generate"].suspended
    assert world.phase is Phase.RUNNING  # until the workers are gone
    world.fail_pod(0, exit_code=75, reason=Reason.PREEMPTED).after(seconds=20).run()
    assert (world.phase, world.status.failures) == (Phase.SUSPENDED, [])
    progress = world.status.progress
    assert progress is not None
    assert (progress.samples_text, progress.tokens_per_second, progress.eta) == (8, None, None)
    world.edit(suspend=False).run()
    assert (world.jobs["generate"].suspended, world.phase) == (False, Phase.RUNNING)
    assert [event.reason for event in world.events][-3:] == ["Suspended", "Resumed", "Running"]


@pytest.mark.parametrize("step", [Step.PLAN, Step.FINALIZE])
def test_suspending_works_in_every_step(step: Step) -> None:
    world = World().run()
    if step is Step.FINALIZE:
        world.planned(shards=1).succeed(0).job_says(Step.GENERATE, complete=True).run()
    world.edit(suspend=True).run()
    assert (world.jobs[step].suspended, world.phase) == (True, Phase.SUSPENDED)
    world.edit(suspend=False).run()
    assert (world.jobs[step].suspended, world.phase != Phase.SUSPENDED) == (False, True)


def test_a_job_that_is_created_suspended_makes_nothing_and_can_still_be_edited() -> None:
    world = World(raw=spec_of(suspend=True)).run()
    assert (world.phase, world.status.start_time, world.jobs, world.config) == (
        Phase.SUSPENDED,
        None,
        {},
        None,
    )
    assert world.edit(suspend=False).run().phase is Phase.PLANNING


def test_scaling_reaches_the_workers_job() -> None:
    world = World().planned().edit(parallelism=7).run()
    assert world.jobs["generate"].parallelism == 7
    world.edit(parallelism=0).run()
    assert world.jobs["generate"].parallelism == 0
    assert world.reason(ConditionType.WORKERS_READY) == "False/ScaledToZero"
    assert world.after(days=30).run().phase is Phase.RUNNING
    assert all(event.type == "Normal" for event in world.events)


def test_engine_settings_follow_the_spec_while_the_job_runs() -> None:
    world = World().planned().edit(engine={"gpuMemoryUtilization": 0.8}).run()
    assert world.config is not None
    assert json.loads(world.config.engine)["gpuMemoryUtilization"] == 0.8


def test_a_change_of_the_gpus_waits_until_the_workers_pods_can_have_them() -> None:
    world = World().planned().running(0).run().edit(engine={"tensorParallelSize": 2}).run()
    assert world.config is not None
    assert "tensorParallelSize" not in json.loads(world.config.engine)
    assert world.reason(ConditionType.WORKERS_CURRENT) == "False/SuspendToApply"
    first = world.jobs["generate"].uid
    world.edit(suspend=True).fail_pod(0, exit_code=75).after(seconds=5).run()
    world.edit(suspend=False).run()
    assert world.jobs["generate"].uid != first
    assert world.jobs["generate"].gpus == 2
    assert json.loads(world.config.engine)["tensorParallelSize"] == 2
    assert world.reason(ConditionType.WORKERS_CURRENT) == "True/Current"


def test_counts_of_finished_shards_outlive_their_pods() -> None:
    world = World().planned().succeed(0).run()
    world.pods = [pod for pod in world.pods if pod.step != Step.GENERATE]
    world.run()
    progress = world.status.progress
    assert progress is not None
    assert (progress.documents, progress.output_tokens) == (10, 1000)
    assert world.status.account is not None
    assert world.status.account.shards == "0"


def test_a_shard_is_counted_once_however_often_it_is_seen() -> None:
    world = World().planned().succeed(0).run().succeed(0, attempt=2).run().run()
    assert world.status.account is not None
    assert world.status.account.documents == 10


def test_failed_attempts_are_counted_across_suspensions() -> None:
    world = World().planned().fail_pod(1).run()
    world.edit(suspend=True).run().edit(suspend=False).run()
    world.after(seconds=30).fail_pod(1, attempt=2).run()
    (failure,) = world.status.failures
    assert (failure.shard, failure.attempts, failure.failed) == (1, 2, False)
    assert (failure.reason, failure.message) == ("EngineFailed", "out of memory")
    assert [event.message for event in world.events if event.reason == "ShardAttemptFailed"] == [
        "Shard 1, attempt 1: EngineFailed: out of memory",
        "Shard 1, attempt 2: EngineFailed: out of memory",
    ]


def test_attempts_that_end_within_one_second_are_counted_once_each() -> None:
    world = World().planned()
    for attempt in (1, 2, 3):
        world.fail_pod(1, attempt=attempt).run().run()
    (failure,) = world.status.failures
    assert (failure.attempts, failure.pods) == (3, ["shard-1-1", "shard-1-2", "shard-1-3"])


def test_a_shard_that_had_its_attempts_before_a_suspension_does_not_go_on_for_ever() -> None:
    world = World().planned(shards=2).succeed(0)
    for attempt in range(1, 5):
        world.after(seconds=30).fail_pod(1, attempt=attempt)
    world.run()
    assert (world.phase, world.jobs["generate"].suspended) == (Phase.FINALIZING, True)
    assert world.finalized(samples_missing=20).reason(ConditionType.FAILED) == "True/ShardsFailed"


def test_a_preempted_worker_is_nobodys_failure() -> None:
    world = World().planned().fail_pod(0, disrupted=True, exit_code=137, reason=None).run()
    assert world.status.failures == []


def test_a_worker_without_last_words_is_explained_by_its_exit_code() -> None:
    world = World().planned().fail_pod(0, exit_code=137, reason=None).run()
    (failure,) = world.status.failures
    assert failure.reason == "Killed"
    assert "137" in failure.message


def test_failed_shards_end_in_a_failed_job_that_says_which_and_keeps_the_rest() -> None:
    world = World().planned().succeed(0).succeed(2)
    world.fail_pod(1, exit_code=65, reason=Reason.SOURCE_CHANGED)
    world.job_says(
        Step.GENERATE,
        failed=True,
        failed_reason="FailedIndexes",
        failed_indexes=Intervals([1]),
        failed_message="x",
    ).run()
    assert world.phase is Phase.FINALIZING
    world.finalized(samples_text=40, samples_missing=20)
    held = world.status.condition(ConditionType.FAILED)
    assert held is not None
    assert (world.phase, held.reason) == (Phase.FAILED, "ShardsFailed")
    assert "1 of 3 shards failed" in held.message
    assert "Shard 1: SourceChanged: out of memory" in held.message
    progress = world.status.progress
    assert progress is not None
    assert (progress.documents, progress.documents_planned, progress.percent) == (20, 30, "66.6%")


def test_a_job_without_a_single_shard_fails_without_finalizing() -> None:
    world = World().planned(shards=1).fail_pod(0, exit_code=65, reason=Reason.SOURCE_CHANGED)
    world.job_says(
        Step.GENERATE,
        failed=True,
        failed_reason="FailedIndexes",
        failed_indexes=Intervals([0]),
        failed_message="x",
    ).run()
    assert (world.phase, "finalize" in world.jobs) == (Phase.FAILED, False)
    assert world.reason(ConditionType.FAILED) == "True/ShardsFailed"


def test_too_many_failed_shards_stop_the_job_and_what_had_not_run_counts_as_failed() -> None:
    world = World(raw=spec_of(failurePolicy={"maxFailedShards": 0})).planned().succeed(0)
    assert world.manifests["generate"]["spec"]["maxFailedIndexes"] == 0
    world.fail_pod(1, exit_code=65)
    world.job_says(
        Step.GENERATE,
        failed=True,
        failed_reason="MaxFailedIndexesExceeded",
        failed_indexes=Intervals([1]),
        failed_message="x",
    ).run()
    world.finalized(samples_text=20, samples_missing=40)
    assert world.status.shards is not None
    assert (world.status.shards.failed, world.phase) == (2, Phase.FAILED)


def test_a_configuration_that_can_not_work_fails_the_job_with_the_workers_words() -> None:
    world = World().planned().fail_pod(0, exit_code=78, reason=Reason.MODEL_NOT_FOUND)
    world.job_says(
        Step.GENERATE, failed=True, failed_reason="PodFailurePolicy", failed_message="exit 78"
    ).run()
    assert world.reason(ConditionType.FAILED) == "True/ModelNotFound"


def test_a_failed_job_whose_pods_are_gone_fails_with_kubernetes_words() -> None:
    world = World().planned()
    world.job_says(
        Step.GENERATE, failed=True, failed_reason="PodFailurePolicy", failed_message="exit 78"
    ).run()
    assert world.phase is Phase.RUNNING
    world.after(seconds=11).run()
    held = world.status.condition(ConditionType.FAILED)
    assert held is not None
    assert (held.reason, held.message) == ("GenerateFailed", "exit 78")


def test_too_many_errors_suspend_the_job_until_the_limit_is_raised_above_what_was_reached() -> None:
    raw = spec_of(failurePolicy={"minDocuments": 5, "maxErrorRatio": 0.05})
    world = World(raw=raw).planned().running(0, samples_text=9, samples_error=1, documents_done=5).run()
    assert world.jobs["generate"].suspended
    world.fail_pod(0, exit_code=75, reason=Reason.PREEMPTED).run()
    assert (world.phase, world.reason(ConditionType.WITHIN_ERROR_BUDGET)) == (
        Phase.SUSPENDED,
        "False/TooManyErrors",
    )
    world.edit(failurePolicy={"minDocuments": 5, "maxErrorRatio": 0.08}).run()
    assert world.jobs["generate"].suspended
    world.edit(failurePolicy={"minDocuments": 5, "maxErrorRatio": 0.2}).run()
    assert not world.jobs["generate"].suspended
    assert world.reason(ConditionType.WITHIN_ERROR_BUDGET) == "True/FewErrors"


def test_a_few_errors_in_the_first_documents_do_not_stop_the_job() -> None:
    world = World().planned().running(0, samples_text=1, samples_error=9, documents_done=5).run()
    assert not world.jobs["generate"].suspended


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("ImagePullBackOff", 'Back-off pulling image "nope"'),
        ("CreateContainerConfigError", 'secret "object-store" not found'),
        ("Unschedulable", "0/3 nodes are available: insufficient nvidia.com/gpu."),
    ],
)
def test_pods_that_can_not_start_are_explained_and_fail_the_job_at_the_deadline(
    trouble: str, message: str
) -> None:
    world = World().planned()
    world.pod(Step.GENERATE, "w", index=0, trouble=trouble, trouble_message=message).after(seconds=60).run()
    assert world.reason(ConditionType.WORKERS_READY) == f"False/{trouble}"
    assert world.status.message is not None
    assert message in world.status.message
    assert world.events[-1].reason == trouble
    world.after(seconds=1800).run()
    held = world.status.condition(ConditionType.FAILED)
    assert held is not None
    assert held.reason == "PendingDeadlineExceeded"
    assert message in held.message
    assert world.jobs["generate"].suspended


def test_two_workers_and_one_gpu_end_well() -> None:
    world = World().planned(shards=2).running(0)
    world.pod(Step.GENERATE, "shard-1-1", index=1, trouble="Unschedulable", trouble_message="no GPU").run()
    world.after(hours=1).succeed(0).run()
    assert world.phase is Phase.RUNNING
    world.after(minutes=5).run().running(1).run().after(hours=1).succeed(1)
    world.job_says(Step.GENERATE, complete=True).run()
    assert world.finalized(documents=20, samples_text=40).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("pause", [{"suspend": True}, {"parallelism": 0}])
def test_a_pause_of_hours_does_not_count_for_the_start_deadline(pause: dict[str, Any]) -> None:
    world = World().planned().after(minutes=20).run()
    assert world.status.nothing_runs_since == START
    world.edit(**pause).run()
    assert world.status.nothing_runs_since is None
    world.after(hours=9).edit(suspend=False, parallelism=2).run()
    world.pod(Step.GENERATE, "w", index=0).after(minutes=29).run()
    assert world.phase is Phase.RUNNING
    assert world.after(minutes=1).run().reason(ConditionType.FAILED) == "True/PendingDeadlineExceeded"


@pytest.mark.parametrize("step", [Step.PLAN, Step.FINALIZE])
def test_a_suspended_step_of_one_pod_is_not_failed_for_waiting(step: Step) -> None:
    world = World().run()
    if step is Step.FINALIZE:
        world.planned(shards=1).succeed(0).job_says(Step.GENERATE, complete=True).run()
    world.pod(step, "p").after(minutes=29).edit(suspend=True).run().after(hours=9)
    world.pods = [pod for pod in world.pods if pod.name != "p"]
    world.run().edit(suspend=False).run().pod(step, "q").after(minutes=29).run()
    assert world.phase is not Phase.FAILED
    assert world.after(minutes=1).run().reason(ConditionType.FAILED) == "True/PendingDeadlineExceeded"


def test_each_step_has_the_whole_deadline_to_start() -> None:
    world = World().run().pod(Step.PLAN, "p").after(minutes=29).run()
    world.pod(Step.PLAN, "p", phase="Running", started=world.now).planned(shards=1).after(minutes=29).run()
    assert world.phase is Phase.RUNNING
    world.running(0).run().succeed(0).job_says(Step.GENERATE, complete=True).run()
    world.after(minutes=29).run()
    assert world.phase is Phase.FINALIZING
    assert world.after(minutes=1).run().phase is Phase.FAILED


def test_a_running_attempt_is_not_given_up_because_another_shard_ends() -> None:
    world = World(raw=spec_of(failurePolicy={"maxAttemptsPerShard": 2})).planned(shards=2)
    for attempt in (1, 2):
        world.after(seconds=30).fail_pod(0, attempt=attempt).run()
    # Kubernetes has forgotten its count when the job was suspended, and makes a third attempt.
    world.running(0, attempt=3).running(1).run().after(minutes=1).succeed(1).run()
    assert (world.phase, world.jobs["generate"].suspended) == (Phase.RUNNING, False)
    world.after(minutes=1).succeed(0, attempt=3).job_says(Step.GENERATE, complete=True).run()
    assert world.finalized(documents=20, samples_text=40).phase is Phase.SUCCEEDED


def test_a_hundred_failing_shards_end_in_a_failed_job_with_exact_counts() -> None:
    world = World(raw=spec_of(failurePolicy={"maxAttemptsPerShard": 2})).planned(shards=110)
    for shard in range(10):
        world.succeed(shard)
    for attempt in (1, 2):
        world.after(seconds=30)
        for shard in range(10, 110):
            world.fail_pod(shard, attempt=attempt)
        world.run()
    failed = Intervals(range(10, 110))
    world.job_says(
        Step.GENERATE,
        failed=True,
        failed_reason="FailedIndexes",
        failed_indexes=failed,
        failed_message="x",
    ).run()
    status = world.status
    assert status.shards is not None
    assert status.attempts is not None
    assert (status.shards.succeeded, status.shards.failed, world.phase) == (10, 100, Phase.FINALIZING)
    assert status.attempts.failed == 200
    assert [(failure.attempts, failure.failed) for failure in status.failures] == [(2, True)] * 64
    world.finalized(documents=1100, samples_text=200, samples_missing=2000)
    held = world.status.condition(ConditionType.FAILED)
    assert held is not None
    assert held.message.startswith("100 of 110 shards failed")
    told = [event.message for event in world.events if event.reason == "ShardAttemptFailed"]
    assert len(told) == 12
    assert (
        told[5]
        == "95 more attempts failed. status.failures explains the worst shards, status.attempts counts all."
    )


@pytest.mark.parametrize(("limit", "sent"), [(0, 0), (2, 2), (3, 3), (4, 3), (100_000, 3)])
def test_more_failed_shards_than_there_are_shards_are_allowed_as_all_of_them(limit: int, sent: int) -> None:
    world = World(raw=spec_of(failurePolicy={"maxFailedShards": limit})).planned(shards=3)
    assert world.manifests["generate"]["spec"]["maxFailedIndexes"] == sent


def test_one_worker_that_runs_keeps_a_job_alive_that_has_pending_ones() -> None:
    world = World().planned().running(0)
    world.pod(Step.GENERATE, "w", index=1, trouble="Unschedulable", trouble_message="no GPU").after(
        days=1
    ).run()
    assert (world.phase, world.reason(ConditionType.WORKERS_READY)) == (Phase.RUNNING, "True/WorkersRunning")


def test_a_job_that_can_not_make_pods_at_all_fails_at_the_deadline() -> None:
    world = World().planned().after(seconds=1801).run()
    assert world.reason(ConditionType.FAILED) == "True/PendingDeadlineExceeded"


def test_a_plan_pod_that_can_not_start_fails_the_job_at_the_deadline() -> None:
    world = World().run().pod(Step.PLAN, "p", trouble="ErrImagePull", trouble_message="no such image")
    assert world.after(seconds=1800).run().reason(ConditionType.FAILED) == "True/PendingDeadlineExceeded"


def test_samples_missing_without_a_failed_shard_are_not_called_a_success() -> None:
    world = World().planned(shards=1).succeed(0).job_says(Step.GENERATE, complete=True).run()
    assert world.finalized(samples_missing=1).reason(ConditionType.FAILED) == "True/DatasetIncomplete"
    assert world.status.dataset is not None
    assert world.status.dataset.samples_missing == 1


def test_a_failed_finalizer_fails_the_job_with_its_reason() -> None:
    world = World().planned(shards=1).succeed(0).job_says(Step.GENERATE, complete=True).run()
    world.step_fails(Step.FINALIZE, Reason.ACCOUNT_MISMATCH, "faq: 3 samples too few").run()
    assert world.reason(ConditionType.FAILED) == "True/AccountMismatch"


def test_the_dataset_outlives_the_job_that_is_removed_after_its_time() -> None:
    world = (
        World(raw=spec_of(ttlSecondsAfterFinished=60))
        .planned(shards=0)
        .finalized(documents=0, samples_text=0)
    )
    assert world.decide().requeue_after == 60
    assert not world.run().deleted
    assert world.after(seconds=60).run().deleted


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    world = World().run()
    job = world.job
    gone = replace(job, deleting=True)
    decided = reconcile(gone, world.seen, world.now, world.settings, world.library)
    assert (decided.actions, decided.status) == ((), job.status)


def test_a_lost_generate_job_is_made_again() -> None:
    world = World().planned().succeed(0).run()
    del world.jobs["generate"]
    world.run()
    assert "generate" in world.jobs
    assert world.status.shards is not None
    assert world.status.shards.summary == "1/3"


def test_final_phases_stay() -> None:
    world = World().run().step_fails(Step.PLAN, Reason.SOURCE_NOT_FOUND, "none").run()
    status = world.status
    world.after(days=1).step_done(Step.PLAN, PlanReport(shards=1, documents=1)).run()
    assert world.status == status


def test_the_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    world = World().planned().running(0).run()
    first = world.status.condition(ConditionType.WORKERS_READY)
    second = world.after(minutes=5).running(1).run().status.condition(ConditionType.WORKERS_READY)
    assert first is not None
    assert second is not None
    assert second.last_transition_time == first.last_transition_time
    assert second.message != first.message


def test_the_final_report_is_read_even_when_the_job_is_not_marked_complete_yet() -> None:
    world = World().planned(shards=1).succeed(0).job_says(Step.GENERATE, complete=True).run()
    report = FinalReport(documents=10, samples_text=20)
    world.pod(Step.FINALIZE, "f", phase="Succeeded", termination=report.to_json()).run()
    assert world.phase is Phase.SUCCEEDED
