from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.observed.intervals import Intervals
from rephrase_worker.intervals import intervals, shortened


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([7], "7"), ([0, 1, 2], "0-2"), ([3, 1, 2, 7, 9, 8, 11], "1-3,7-9,11"), ([4, 4], "4")],
)
def test_numbers_are_written_as_their_runs(numbers: list[int], text: str) -> None:
    assert intervals(numbers) == text


@given(st.lists(st.integers(0, 300)))
def test_the_operator_reads_them_back(numbers: list[int]) -> None:
    assert list(Intervals.parse(intervals(numbers))) == sorted(set(numbers))


@given(st.lists(st.integers(0, 100_000)), st.integers(9, 60))
def test_shortened_intervals_are_whole(numbers: list[int], limit: int) -> None:
    text = intervals(numbers)
    short = shortened(text, limit)
    assert len(short) <= limit
    if short != text:
        assert short.endswith("...")
        assert text.startswith(short[:-3])
        assert short[:-3] == "" or short[-4] == ","
