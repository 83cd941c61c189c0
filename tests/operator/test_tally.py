"""Counts by name become counters: bounded, never falling, and adding up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.observed.tally import OTHER, add, grown

NAMES = st.text(st.sampled_from("ab"), max_size=3) | st.just(OTHER)
LIMIT = 3


def only_grows(before: dict[str, int], counts: dict[str, int]) -> None:
    assert all(counts[name] >= count for name, count in before.items())
    assert len(set(counts) - {OTHER}) <= LIMIT


@given(st.lists(st.lists(NAMES, max_size=6), max_size=12))
def test_counted_one_by_one_they_never_fall_and_add_up(rounds: list[list[str]]) -> None:
    counts: dict[str, int] = {}
    total = 0
    for names in rounds:
        total += len(names)
        before, counts = counts, add(counts, names, total=total, limit=LIMIT)
        only_grows(before, counts)
        assert sum(counts.values()) == total


@given(st.lists(st.tuples(st.dictionaries(NAMES, st.integers(0, 9), max_size=6), st.integers(0, 30))))
def test_read_from_reports_they_never_fall_whatever_the_reports_say(
    reports: list[tuple[dict[str, int], int]],
) -> None:
    counts: dict[str, int] = {}
    for now, total in reports:
        before, counts = counts, grown(counts, now, total=total, limit=LIMIT)
        only_grows(before, counts)
        assert sum(counts.values()) >= total


def test_names_beyond_the_limit_and_no_name_are_other() -> None:
    assert add({"a": 5, "b": 1}, ["c", "", "a"], total=9, limit=2) == {"a": 6, "b": 1, OTHER: 2}


def test_what_an_older_operator_counted_without_a_name_is_other() -> None:
    assert add({}, ["a"], total=8, limit=2) == {"a": 1, OTHER: 7}
    assert add({"a": 1, OTHER: 7}, [], total=8, limit=2) == {"a": 1, OTHER: 7}
