"""The step that publishes: it comes after everything else, and a failure in it loses nothing."""

from __future__ import annotations

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import Phase
from rephrase_operator.observed.views import Step
from rephrase_worker.spec import ExitCode, PublishReport, Reason
from tests.operator.builders import World, spec_of

PUBLISH = {"repository": "me/data"}


def generated(**spec: object) -> World:
    """A job with one shard, which is finished."""
    world = World(raw=spec_of(**({"publish": PUBLISH} | spec))).planned(shards=1)
    return world.succeed(0).job_says(Step.GENERATE, complete=True).run()


def test_a_job_is_published_after_it_is_finalized_and_succeeds_then() -> None:
    world = generated()
    assert Step.PUBLISH not in world.jobs
    world.finalized().run()
    assert (world.phase, world.status.completion_time) == (Phase.PUBLISHING, None)
    world.published()
    assert world.phase is Phase.SUCCEEDED
    assert world.status.published is not None
    assert (world.status.published.repository, world.status.published.files) == ("me/data", 9)
    assert "Publishing" in [event.reason for event in world.events]


def test_a_job_that_asks_for_no_repository_publishes_nothing() -> None:
    world = generated(publish=None).finalized().run()
    assert (world.phase, Step.PUBLISH in world.jobs) == (Phase.SUCCEEDED, False)


def test_a_dataset_with_gaps_is_not_published() -> None:
    world = generated().finalized(samples_missing=3).run()
    assert (world.phase, Step.PUBLISH in world.jobs) == (Phase.FAILED, False)


def test_a_refused_repository_fails_the_job_and_the_message_says_what_is_kept_and_how_to_go_on() -> None:
    world = generated().finalized().run()
    world.step_fails(Step.PUBLISH, Reason.REPOSITORY_REFUSED, "me/data: the Hub answers 401.").run()
    assert world.reason(ConditionType.FAILED) == "True/RepositoryRefused"
    assert world.status.message is not None
    assert "401" in world.status.message
    assert "The dataset is complete at" in world.status.message
    assert "rephrase publish" in world.status.message


def test_a_suspended_publication_stops_and_goes_on() -> None:
    world = generated().finalized().run().edit(suspend=True).run()
    assert (world.jobs[Step.PUBLISH].suspended, world.phase) == (True, Phase.SUSPENDED)
    world.edit(suspend=False).run()
    assert (world.jobs[Step.PUBLISH].suspended, world.phase) == (False, Phase.PUBLISHING)


def test_an_attempt_that_failed_is_named_while_the_next_one_runs() -> None:
    failed = PublishReport(failure={"reason": "InternalError", "message": "The Hub did not answer."})
    world = generated().finalized().run()
    world.pod(
        Step.PUBLISH, "p", phase="Failed", exit_code=ExitCode.INTERNAL, termination=failed.to_json()
    ).run()
    assert world.phase is Phase.PUBLISHING
    assert world.status.message is not None
    assert "attempt 2" in world.status.message
    assert "The Hub did not answer." in world.status.message
