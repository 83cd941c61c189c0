"""Counts of samples add up in any order, and what is inexact keeps to the bounds that it states."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_worker.quality import openings
from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.quality.distributions import BOUNDS, histogram, moments
from rephrase_worker.quality.measure import Measure, Measured
from rephrase_worker.quality.openings import Openings
from rephrase_worker.quality.sketch import Sketch, sketch
from rephrase_worker.quality.state import ShardQuality, add, bounded, decode, encode, kept
from rephrase_worker.spec import Prompt

PROMPT = Prompt(name="faq", template="{{document}}\nAsk what a reader would ask.", structure="qa-pairs")
WORDS = [
    "Q: why?\nA: so.\n",
    "the cat is here. ",
    "Это не то, что было. ",
    "漢字。",
    "😀",
    "\n",
    "I can't help. ",
]
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), max_size=8)


def measured(given: Sequence[str]) -> PromptCounts:
    return Measure(PROMPT)([Measured(text, len(text), len(text) // 2, "en") for text in given])


@settings(deadline=None)
@given(texts, texts, texts)
def test_counts_are_a_commutative_monoid(one: list[str], two: list[str], three: list[str]) -> None:
    a, b, c = measured(one), measured(two), measured(three)
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + PromptCounts() == a
    assert PromptCounts() + a == a


@settings(deadline=None)
@given(texts, texts)
def test_batches_add_up_to_the_whole(one: list[str], two: list[str]) -> None:
    assert measured(one) + measured(two) == measured([*one, *two])


@settings(deadline=None)
@given(st.lists(texts, max_size=5), st.randoms(use_true_random=False))
def test_shards_add_up_in_any_order(shards: list[list[str]], order: random.Random) -> None:
    counted = [{"faq": kept(measured(shard))} for shard in shards]
    forwards = reduce(add, counted, {"faq": PromptCounts()})
    order.shuffle(counted)
    assert reduce(add, counted, {"faq": PromptCounts()}) == forwards


@settings(deadline=None)
@given(texts)
def test_counts_come_back_from_their_file(given: list[str]) -> None:
    quality = ShardQuality(recipe_hash="0", shard=3, prompts={"faq": measured(given)})
    assert ShardQuality.model_validate_json(decode(encode(quality))) == quality


def test_a_damaged_file_is_said_to_be_one() -> None:
    with pytest.raises(ValueError, match="Invalid JSON"):
        ShardQuality.model_validate_json(decode(b"not zstd"))


openings_of_shards = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=40), max_size=6)


@given(openings_of_shards, st.integers(1, 6), st.integers(1, 4))
def test_the_true_count_of_an_opening_is_within_its_bounds(
    shards: list[list[str]], most: int, least: int
) -> None:
    true = Counter(opening for shard in shards for opening in shard)
    total = Openings()
    for shard in shards:
        total += openings.count(shard).trimmed(most=most, least=least)
    again = total.trimmed(most=max(1, most - 1))
    for found in (total, again):
        for opening in "abcdefghij":
            assert found.counts.get(opening, 0) <= true[opening] <= found.at_most(opening)
        if found.left_out == 0:
            assert found.counts == true


def test_nothing_is_trimmed_that_fits() -> None:
    whole = openings.count("aab")
    assert whole.trimmed(most=2) is whole


def test_equal_counts_are_in_the_order_of_their_texts() -> None:
    assert [opening.text for opening in openings.count("cabca").top(3)] == ["a", "c", "b"]


def collapsed(samples: int, alike: int) -> list[str]:
    """Samples that all begin differently but for those that begin with one sentence."""
    same = "Let's imagine a farmer who sells apples at the market. He has {} of them."
    return [
        same.format(number) if number < alike else f"{number * 7919} is the first number of this text. More."
        for number in range(samples)
    ]


@pytest.mark.parametrize("alike", [115, 3])
@pytest.mark.parametrize("shards", [1, 4, 13])
def test_the_published_counts_of_equal_first_sentences(alike: int, shards: int) -> None:
    """The playbook's measure of template collapse: 115 of 1,000 for one model, 3 for another."""
    samples = collapsed(1000, alike)
    random.Random(1).shuffle(samples)
    total = PromptCounts()
    for shard in range(shards):
        total += kept(measured(samples[shard::shards]))
    (top,) = total.sentences.top(1)
    assert (top.text, top.count, top.at_most) == (
        "Let's imagine a farmer who sells apples at the market.",
        alike,
        alike,
    )


@pytest.mark.parametrize(("alike10", "alike30"), [(7619, 1208), (3235, 35)])
def test_the_published_counts_of_equal_first_characters(alike10: int, alike30: int) -> None:
    """By the first 10 and 30 characters of 10,000 samples."""
    samples = []
    for number in range(10_000):
        # 40 bits in hexadecimal: no two begin alike by chance.
        tail = f"{number * 2654435761 % 2**40:010x}"
        if number < alike30:
            samples.append(f"Imagine a farmer who sells apples {tail}")
        elif number < alike10:
            samples.append(f"Imagine a {tail}{tail}{tail}")
        else:
            samples.append(f"{tail}{tail}{tail}{tail}")
    counts = kept(Measure(PROMPT, full=False)([Measured(text, 1, 1) for text in samples]))
    assert counts.first10.top(1)[0] == openings.Opening("Imagine a ", alike10, alike10)
    assert counts.first30.top(1)[0] == openings.Opening("Imagine a farmer who sells app", alike30, alike30)


def test_memory_is_bounded_however_many_openings_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rephrase_worker.quality.state.MOST_OPENINGS", 100)
    total = PromptCounts()
    for batch in range(20):
        texts = [f"common {'x' * 30}"] * 10 + [f"{batch} {number} {'y' * 30}" for number in range(40)]
        total = bounded(total + Measure(PROMPT, full=False)([Measured(text, 1, 1) for text in texts]))
        assert len(total.first30.counts) <= 100
    (top,) = total.first30.top(1)
    assert (top.count, top.at_most) == (200, 200), "what was never left out is exact"
    assert total.first30.left_out >= 1


@pytest.mark.parametrize("number", [0, 1, 10, 1000, 5000, 10_000, 100_000, 1_000_000])
def test_a_sketch_estimates_within_its_error(number: int) -> None:
    hashes = np.random.default_rng(number).integers(0, 2**64, number, dtype=np.uint64)
    # Four times the standard error, and one for the smallest counts.
    assert abs(sketch(hashes).estimate - number) <= 4 * 0.023 * number + 1


def test_a_sketch_counts_a_thing_once() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 1000, dtype=np.uint64)
    assert sketch(hashes[:700]) + sketch(hashes[300:]) == sketch(hashes)
    assert sketch(hashes) + sketch(hashes) == sketch(hashes)
    assert Sketch() + sketch(hashes) == sketch(hashes)
    assert Sketch().estimate == 0


@given(st.lists(st.integers(0, 2**21), max_size=30))
def test_a_histogram_has_exact_bounds(values: list[int]) -> None:
    found = histogram(np.array(values, dtype=np.int64))
    assert found.samples == len(values)
    assert found.total == sum(values)
    for place, number in enumerate(found.counts):
        low = BOUNDS[place - 1] if place else 0
        high = BOUNDS[place] if place < len(BOUNDS) else 2**62
        assert number == sum(low <= value < high for value in values)


@given(st.lists(st.integers(0, 5000), max_size=30))
def test_moments_give_mean_and_standard_deviation(values: list[int]) -> None:
    figures = np.array(values, dtype=np.float64) / 1000
    found = moments(figures)
    assert found.count == len(values)
    assert found.mean == pytest.approx(figures.mean() if values else 0.0)
    assert found.spread == pytest.approx(figures.std() if values else 0.0, abs=1e-9)
