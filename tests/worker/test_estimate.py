"""The estimate: the playbook's own arithmetic, lengths that maxTokens cuts, shards on workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.estimate import Fleet, NothingKnownError, Price, Span, estimate, gpu_hours
from rephrase_worker.estimate.lengths import Length
from rephrase_worker.estimate.makespan import grouped, makespan
from rephrase_worker.spec import SHARD_GROUPS, ShardGroup, Statistics


def statistics(**changes: object) -> Statistics:
    """FinePhrase: four prompts over 339,347,842 documents, 359 tokens an output."""
    documents = 339_347_842
    output = 486.4e9 / documents
    given: dict[str, object] = {
        "documents": documents,
        "documents_low": documents,
        "documents_high": documents,
        "sampled": 500,
        "prompt_tokens": 2400.0,
        "prompt_tokens_low": 2300.0,
        "prompt_tokens_high": 2500.0,
        "output_tokens": output,
        "output_tokens_low": output / 1.5,
        "output_tokens_high": output * 1.5,
        "shards": [ShardGroup(shards=14_700, documents=documents / 14_700)],
    }
    return Statistics.model_validate(given | changes)


@pytest.mark.parametrize(
    ("tokens", "pace", "hours", "price", "cost"),
    [(15e9, 4750, 880, 3.50, 3_080), (486.4e9, 9200, 14_700, 3.0, 44_100)],
    ids=["the deck's 15B tokens", "FinePhrase"],
)
def test_the_arithmetic_is_the_playbooks(
    tokens: float, pace: float, hours: float, price: float, cost: float
) -> None:
    assert gpu_hours(tokens, pace) == pytest.approx(hours, rel=0.01)
    assert gpu_hours(tokens, pace) * price == pytest.approx(cost, rel=0.01)


def test_finephrase_as_a_job() -> None:
    fleet = Fleet(
        parallelism=100,
        gpus_per_worker=1,
        tokens_per_second_per_gpu=9200,
        figure="measured",
        startup_seconds=0,
    )
    found = estimate(statistics(), fleet, Price(3.0, "USD"))
    assert found.output_tokens.expected == pytest.approx(486.4e9)
    assert found.gpu_hours is not None
    assert found.gpu_hours.expected == pytest.approx(14_700, rel=0.01)
    assert found.cost is not None
    assert found.cost.expected == pytest.approx(44_100, rel=0.01)
    assert found.wall_seconds is not None
    assert found.wall_seconds.expected / 86_400 == pytest.approx(6.1, rel=0.02)  # six days, they say
    for span in (found.output_tokens, found.gpu_hours, found.wall_seconds, found.cost):
        assert span.low < span.expected < span.high


def test_start_up_counts_for_every_shard_and_every_gpu() -> None:
    fleet = Fleet(
        parallelism=1, gpus_per_worker=2, tokens_per_second_per_gpu=1000, startup_seconds=360, figure="given"
    )
    small = statistics(
        documents=100,
        documents_low=100,
        documents_high=100,
        output_tokens=72_000.0,
        output_tokens_low=72_000.0,
        output_tokens_high=72_000.0,
        shards=[ShardGroup(shards=10, documents=10)],
    )
    found = estimate(small, fleet)
    assert found.gpu_hours is not None
    assert found.gpu_hours.expected == pytest.approx(2 + 2)  # 7.2M tokens, and ten times two GPUs for 0.1 h
    assert found.startup_share == pytest.approx(0.5)
    assert found.cost is None


def test_without_a_pace_tokens_are_still_known() -> None:
    found = estimate(statistics(), Fleet(parallelism=3, gpus_per_worker=0))
    assert found.prompt_tokens.expected > 0
    assert (found.gpu_hours, found.wall_seconds, found.cost) == (None, None, None)


def test_without_workers_there_is_no_wall_time() -> None:
    found = estimate(statistics(), Fleet(parallelism=0, gpus_per_worker=1, tokens_per_second_per_gpu=9200))
    assert found.gpu_hours is not None
    assert found.wall_seconds is None


def test_a_sample_of_nothing_is_no_estimate() -> None:
    with pytest.raises(NothingKnownError, match="no document could be sampled"):
        estimate(Statistics(documents=10), Fleet(parallelism=1, gpus_per_worker=1))


def test_long_prompts_widen_the_range_and_say_so() -> None:
    fleet = Fleet(parallelism=1, gpus_per_worker=1, tokens_per_second_per_gpu=9200)
    usual = estimate(statistics(), fleet)
    long = estimate(
        statistics(prompt_tokens=40_000.0, prompt_tokens_low=39_000.0, prompt_tokens_high=41_000.0), fleet
    )
    assert usual.gpu_hours is not None
    assert long.gpu_hours is not None
    assert long.gpu_hours.high > 2 * usual.gpu_hours.high
    assert any("Prompts are long" in sentence for sentence in long.assumptions)
    assert not any("Prompts are long" in sentence for sentence in usual.assumptions)


@given(mean=st.floats(5, 5000), most=st.integers(1, 10_000), runaway=st.floats(0, 1))
def test_a_cut_mean_is_below_both_and_grows(mean: float, most: int, runaway: float) -> None:
    length = Length(mean, 1.5, runaway=runaway)
    cut = length.within(most)
    assert 0 <= cut <= most * (1 + 1e-9)
    assert cut <= length.within(most + 1) + 1e-9
    assert 0 <= length.cut(most) <= 1


def test_where_every_output_is_cut_the_length_is_exact() -> None:
    assert Length(400, 2.0).within(16) == pytest.approx(16, rel=0.01)
    assert Length(400, 2.0).within(100_000) == pytest.approx(400, rel=0.01)


def test_shards_start_as_workers_become_free() -> None:
    def seconds(documents: float) -> float:
        return documents

    assert makespan([ShardGroup(shards=4, documents=10)], 8, seconds) == 10  # more workers than shards
    assert makespan([ShardGroup(shards=9, documents=10)], 4, seconds) == 30
    tapered = [ShardGroup(shards=4, documents=10), ShardGroup(shards=8, documents=1)]
    assert makespan(tapered, 4, seconds) == 12
    uneven = [ShardGroup(shards=1, documents=100), ShardGroup(shards=30, documents=1)]
    assert makespan(uneven, 3, seconds) == 100


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=3000))
def test_groups_hold_all_shards_and_documents(sizes: list[int]) -> None:
    groups = grouped(sizes)
    assert len(groups) <= SHARD_GROUPS
    assert sum(group.shards for group in groups) == len(sizes)
    total = sum(group.shards * group.documents for group in groups)
    assert total == pytest.approx(sum(sizes), abs=0.06 * len(sizes))


def test_a_span_in_another_unit() -> None:
    assert Span(1, 2, 3).times(10) == Span(10, 20, 30)
