"""Counts by name become counters: bounded, never falling, and adding up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.observed.tally import OTHER, add

NAMES = st.text(st.sampled_from("ab"), max_size=3) | st.just(OTHER)


@given(st.lists(st.lists(NAMES, max_size=6), max_size=12))
def test_counts_never_fall_and_add_up(rounds: list[list[str]]) -> None:
    counts: dict[str, int] = {}
    total = 0
    for names in rounds:
        before = counts
        counts = add(counts, names, total=total, limit=3)
        total += len(names)
        assert sum(counts.values()) == total
        assert all(counts[name] >= count for name, count in before.items())
        assert len(set(counts) - {OTHER}) <= 3


def test_names_beyond_the_limit_and_no_name_are_other() -> None:
    assert add({"a": 5, "b": 1}, ["c", "", "a"], total=6, limit=2) == {"a": 6, "b": 1, OTHER: 2}


def test_what_an_older_operator_counted_without_a_name_is_other() -> None:
    assert add({}, ["a"], total=7, limit=2) == {"a": 1, OTHER: 7}
    assert add({"a": 1, OTHER: 7}, [], total=8, limit=2) == {"a": 1, OTHER: 7}
