"""Progress and the time left, from the account and the workers' reports."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.api.status import (
    FAILURES_LIMIT,
    PODS_LIMIT,
    FinishedShards,
    Progress,
    RephraseJobStatus,
    ShardFailure,
)
from rephrase_operator.observed.progress import duration, percent
from rephrase_operator.observed.views import LiveReport, Step
from tests.operator.builders import ON_CPUS, START, World, shard_report, spec_of


def progress_of(world: World) -> Progress:
    assert world.status.progress is not None
    return world.status.progress


WORKER = {"samples_text": 10, "output_tokens": 1000, "generated_tokens": 3000, "engine_seconds": 60.0}
"""A worker that makes 50 tokens a second, of samples of 100 tokens each."""


def test_the_time_left_is_the_tokens_left_at_the_pace_of_the_workers_so_far() -> None:
    progress = progress_of(World().planned().running(0, **WORKER).run())
    # 50 of 60 samples are left, 100 tokens each, at 50 tokens a second.
    assert (progress.eta_seconds, progress.eta, progress.percent) == (100, "1m40s", "16.6%")


def test_a_second_worker_halves_the_time_left() -> None:
    progress = progress_of(World().planned().running(0, **WORKER).running(1, **WORKER).run())
    assert progress.eta_seconds == 40  # 40 samples of 100 tokens, at twice 50 tokens a second


def test_a_worker_that_has_just_started_does_not_bend_the_time_left() -> None:
    # The finished shard: 20 samples of 100 tokens in 80 seconds, its start-up included.
    finished = {"samples_text": 20, "output_tokens": 2000, "generated_tokens": 2000}
    world = World().planned().running(0).after(seconds=80).succeed(0, **finished)
    starting = {"samples_text": 0, "output_tokens": 0, "generated_tokens": 1, "engine_seconds": 5.0}
    world.running(1, tokens_per_second=0.2, **starting).run()
    progress = progress_of(world)
    # 40 samples of 100 tokens are left, at 2,001 tokens in 85 seconds.
    assert progress.eta_seconds == pytest.approx(4000 / (2001 / 85), abs=1)


SMOLLM = {"model": {"name": "HuggingFaceTB/SmolLM2-1.7B-Instruct"}, "engine": {"tensorParallelSize": 2}}


def test_the_profile_says_how_long_it_takes_until_workers_have_generated_for_a_minute() -> None:
    planned = World(raw=spec_of(**SMOLLM)).planned(shards=2, documents=200_000, suffix_speculation=True)
    assert planned.status.progress is not None
    assert planned.status.progress.eta is None, "nothing runs, so nothing comes to an end"
    # 400,000 samples of 360 tokens, at 9,220 tokens a second and GPU, with two GPUs a worker.
    expected = 400_000 * 360 / (9220 * 2)
    world = planned.running(0, samples_text=0, output_tokens=0, engine_seconds=0.0).run()
    assert progress_of(world).eta_seconds == pytest.approx(expected, abs=1)
    unheard = (
        World(raw=spec_of(**SMOLLM)).planned(shards=2, documents=200_000, suffix_speculation=True).running(0)
    )
    unheard.reports.clear()
    assert progress_of(unheard.run()).eta_seconds == pytest.approx(expected, abs=1)
    second = world.running(1, samples_text=0, output_tokens=0, engine_seconds=0.0).run()
    assert progress_of(second).eta_seconds == pytest.approx(expected / 2, abs=1)
    # The first samples to be finished are short ones, and the pace is still that of a start.
    early = {
        "samples_text": 1000,
        "output_tokens": 10_000,
        "generated_tokens": 20_000,
        "engine_seconds": 10.0,
    }
    world = (
        World(raw=spec_of(**SMOLLM))
        .planned(shards=2, documents=200_000, suffix_speculation=True)
        .running(0, **early)
        .run()
    )
    assert progress_of(world).eta_seconds == pytest.approx(expected * 399 / 400, abs=1)
    later = early | {"generated_tokens": 600_000, "engine_seconds": 60.0, "output_tokens": 360_000}
    world = (
        World(raw=spec_of(**SMOLLM))
        .planned(shards=2, documents=200_000, suffix_speculation=True)
        .running(0, **later)
        .run()
    )
    assert progress_of(world).eta_seconds == pytest.approx(399_000 * 360 / 10_000, abs=1)


def test_nothing_is_expected_of_workers_on_cpus() -> None:
    world = World(raw=spec_of(model=SMOLLM["model"]), settings=ON_CPUS).planned()
    world.running(0, samples_text=0, output_tokens=0, engine_seconds=0.0).run()
    assert progress_of(world).eta is None


def test_a_restarted_operator_says_the_same() -> None:
    world = World().planned().running(0, **WORKER).run()
    before = progress_of(world)
    world.status = world.status.model_copy(update={"progress": None})
    assert progress_of(world.run()) == before


def test_rates_of_the_workers_add_up_and_are_divided_by_their_gpus() -> None:
    world = World(raw=spec_of(engine={"tensorParallelSize": 2})).planned()
    world.running(0, tokens_per_second=100.0).running(1, tokens_per_second=60.0).run()
    progress = progress_of(world)
    assert (progress.workers, progress.tokens_per_second, progress.tokens_per_second_per_gpu) == (
        2,
        160.0,
        40.0,
    )


def test_on_cpus_there_is_no_rate_per_gpu() -> None:
    world = World(settings=ON_CPUS).planned().running(0, tokens_per_second=5.0).run()
    assert progress_of(world).tokens_per_second_per_gpu is None


def test_a_worker_that_does_not_answer_keeps_its_counts_and_loses_its_rate() -> None:
    world = World().planned().running(0, samples_text=10, tokens_per_second=50.0).run()
    world.after(seconds=31).run()
    progress = progress_of(world)
    assert (progress.samples_text, progress.tokens_per_second, progress.eta) == (10, None, None)


def test_counts_do_not_go_back_when_a_worker_is_killed() -> None:
    world = World().planned().running(0, samples_text=10, documents_done=5).run()
    world.fail_pod(0, exit_code=137, reason=None).run()
    world.after(seconds=20).running(0, attempt=2, samples_text=2, documents_done=1).run()
    assert progress_of(world).samples_text == 10


def test_the_most_advanced_of_two_workers_on_one_shard_counts() -> None:
    world = World().planned().running(0, samples_text=10).running(0, attempt=2, samples_text=12).run()
    assert progress_of(world).samples_text == 12


def test_an_estimated_plan_never_says_that_all_is_done_before_it_is() -> None:
    world = (
        World()
        .planned(documents=5, documents_exact=False)
        .running(0, samples_text=20, documents_done=10)
        .run()
    )
    progress = progress_of(world)
    assert (progress.percent, progress.documents_planned) == ("99.9%", 10)


def test_a_shard_whose_pod_was_gone_before_it_was_read_still_moves_the_bar() -> None:
    world = World().planned().succeed(0)
    world.pods = [pod for pod in world.pods if pod.step == "plan"]
    assert progress_of(world.run()).percent == "33.3%"


def test_errors_are_counted_by_code() -> None:
    world = World().planned().succeed(0, samples_text=18, samples_error=2, errors={"empty_text": 2})
    world.running(1, samples_text=1, samples_error=1, errors={"empty_text": 1}).run()
    assert progress_of(world).errors == {"empty_text": 3}


def test_a_nonsense_report_is_ignored() -> None:
    world = World().planned().succeed(0)
    world.pods = [
        pod.__class__(**_fields(pod) | {"termination": "{]"}) if pod.index == 0 else pod for pod in world.pods
    ]
    world.run()
    assert world.status.account is not None
    assert world.status.account.documents == 0


def _fields(pod: object) -> dict[str, object]:
    return {name: getattr(pod, name) for name in pod.__slots__}  # type: ignore[attr-defined]


def test_reports_are_kept_by_pod_not_by_shard() -> None:
    world = World().planned().running(0, samples_text=4)
    world.reports["somebody-else"] = LiveReport(report=shard_report(1, samples_text=20), at=world.now)
    assert progress_of(world.run()).samples_text == 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (750, "12m30s"), (11_100, "3h05m"), (187_200, "2d04h")],
)
def test_durations_are_short(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1))
def test_a_hundred_percent_means_all_of_it(ratio: float) -> None:
    assert (percent(ratio) == "100%") == (ratio > 0.999999)


def test_the_mean_rate_leaves_suspensions_out() -> None:
    world = World().planned(shards=1).running(0).run().after(seconds=50).edit(suspend=True).run()
    world.fail_pod(0, exit_code=75).run().after(hours=9).edit(suspend=False).run()
    world.running(0, attempt=2).run().after(seconds=50).succeed(0, attempt=2)
    world.job_says("generate", complete=True).run()  # type: ignore[arg-type]
    world.finalized(documents=10, samples_text=20, output_tokens=1000)
    assert world.status.generating is not None
    assert timedelta(seconds=world.status.generating.seconds) == timedelta(seconds=100)
    assert progress_of(world).tokens_per_second == 10.0


def test_a_preempted_shard_does_not_make_its_last_pod_look_fast() -> None:
    # One GPU makes 1,000 tokens a second: 40 s before the preemption, 10 s after it.
    world = World(raw=spec_of(engine={"profile": "none"})).planned(shards=2).running(0)
    first = {"state": "failed", "output_tokens": 40_000, "generated_tokens": 40_000, "samples_text": 16}
    world.after(seconds=40).end_pod(0, exit_code=75, **first).run()
    world.running(0, attempt=2, output_tokens=40_000, generated_tokens=0, samples_text=16).after(seconds=10)
    world.succeed(0, attempt=2, output_tokens=50_000, generated_tokens=10_000).run()
    world.running(1, samples_text=0, output_tokens=0, generated_tokens=1000, engine_seconds=1.0).run()
    # 20 samples of 2,500 tokens are left.
    assert progress_of(world).eta_seconds == 50
    world.after(seconds=49).succeed(1, output_tokens=50_000, generated_tokens=50_000)
    world.job_says(Step.GENERATE, complete=True).run()
    world.finalized(documents=20, samples_text=40, output_tokens=100_000)
    progress = progress_of(world)
    assert progress.tokens_per_second_per_gpu == pytest.approx(1000, rel=0.02)
    assert progress.tokens_per_second == pytest.approx(1000, rel=0.02)


def test_the_rates_exclude_samples_of_an_earlier_job() -> None:
    world = World().planned(shards=1).running(0, output_tokens=90_000, generated_tokens=0).run()
    world.after(seconds=10).succeed(0, output_tokens=100_000, generated_tokens=10_000)
    world.job_says(Step.GENERATE, complete=True).run()
    world.finalized(documents=10, samples_text=20, output_tokens=100_000)
    progress = progress_of(world)
    assert (progress.tokens_per_second, progress.tokens_per_second_per_gpu) == (1000.0, 1000.0)


def test_the_largest_status_fits_into_an_object_of_etcd() -> None:
    # 10,000 workers, each on a shard between two that are finished.
    shards = ",".join(f"{first}-{first + 2}" for first in range(60_000, 100_000, 4))
    explained = {"message": "m" * 1024, "pods": ["p" * 63] * PODS_LIMIT, "time": START}
    status = RephraseJobStatus(
        account=FinishedShards(shards=shards),
        failures=[
            ShardFailure(shard=shard, attempts=1, reason="EngineFailed", **explained)
            for shard in range(FAILURES_LIMIT)
        ],
    )
    assert len(json.dumps(status.to_api())) < 2**19
