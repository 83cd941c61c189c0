"""Whatever is seen, missed or seen late: the end is the same, and on the way nothing goes backwards."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.api.status import Phase
from rephrase_operator.observed.views import Step
from tests.operator.builders import World

SHARDS = 3

shard_lives = st.lists(st.integers(0, 3), min_size=SHARDS, max_size=SHARDS)
"""Failed attempts of each shard before it succeeds."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, bool]]]:
    """Failed attempts by shard, and the order in which their pods end, each with whether a pass follows."""
    failures = draw(shard_lives)
    ends = [shard for shard, failed in enumerate(failures) for _ in range(failed + 1)]
    order = draw(st.permutations(ends))
    return failures, [(shard, draw(st.booleans())) for shard in order]


@given(histories(), st.booleans())
def test_missed_observations_only_cause_a_delay(
    history: tuple[list[int], list[tuple[int, bool]]], suspended_once: bool
) -> None:
    failures, order = history
    world = World().planned(shards=SHARDS)
    ended = [0] * SHARDS
    seen = 0
    for shard, looked in order:
        ended[shard] += 1
        world.after(seconds=30).running(shard, attempt=ended[shard], documents_done=3, samples_text=6)
        if looked:
            world.run()
        if ended[shard] <= failures[shard]:
            world.fail_pod(shard, attempt=ended[shard])
        else:
            world.succeed(shard, attempt=ended[shard])
        if looked:
            world.run()
            progress = world.status.progress
            assert progress is not None
            assert progress.samples_text >= seen
            assert progress.ratio <= 1
            seen = progress.samples_text
        if suspended_once and sum(ended) == 2:
            world.edit(suspend=True).run().edit(suspend=False).run()
    world.job_says(Step.GENERATE, complete=True).run()
    assert world.status.account is not None
    assert (world.status.account.shards, world.status.account.documents) == ("0-2", 30)
    counted = {failure.shard: failure.attempts for failure in world.status.failures}
    assert counted == {shard: count for shard, count in enumerate(failures) if count}
    assert world.finalized().phase is Phase.SUCCEEDED


@given(st.data())
def test_a_second_pass_over_its_own_result_changes_nothing(data: st.DataObject) -> None:
    world = World().planned(shards=SHARDS)
    for shard in data.draw(st.lists(st.integers(0, SHARDS - 1), unique=True)):
        world.running(shard).run()
    world.run()
    again = world.decide()
    assert again.actions == ()
    assert again.events == ()
    assert again.status.to_api() == world.status.to_api()


@given(st.sets(st.sampled_from(["plan", "generate", "finalize"])), st.booleans())
def test_lost_children_are_made_again_until_the_end(lost: set[str], config_lost: bool) -> None:
    world = World().planned(shards=1)
    for step in lost & set(world.jobs):
        del world.jobs[step]
    if config_lost:
        world.config = None
    world.run()
    assert world.config is not None
    world.succeed(0).job_says(Step.GENERATE, complete=True).run()
    world.jobs = {name: child for name, child in world.jobs.items() if name not in lost}
    world.run().finalized(documents=10, samples_text=20)
    assert world.phase is Phase.SUCCEEDED


@given(st.integers(0, 5))
def test_a_status_that_was_read_late_decides_the_same(passes: int) -> None:
    world = World()
    for _ in range(passes):
        world.run(passes=1)
    stale = replace(world.job, resource_version="0")
    assert world.job.status == stale.status
    assert world.decide() == world.decide()
