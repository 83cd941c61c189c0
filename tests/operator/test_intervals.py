"""Shard numbers in the notation of an Indexed Job's status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.observed.intervals import Intervals

numbers = st.sets(st.integers(0, 60))


@given(numbers)
def test_parsing_reverses_printing(found: set[int]) -> None:
    runs = Intervals(found)
    assert Intervals.parse(str(runs)) == runs
    assert (set(runs), len(runs)) == (found, len(found))
    assert {number for number in range(-1, 62) if number in runs} == found


@given(numbers, numbers)
def test_a_union_holds_what_either_holds(left: set[int], right: set[int]) -> None:
    assert set(Intervals(left) | Intervals(right)) == left | right


def test_runs_are_written_as_kubernetes_writes_them() -> None:
    assert str(Intervals([5, 1, 2, 3, 7])) == "1-3,5,7"


def test_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Intervals.parse("1-3,x")
