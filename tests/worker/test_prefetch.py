"""Stages in threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.generate.prefetch import Prefetch


@given(items=st.lists(st.integers()), ahead=st.integers(1, 5), stages=st.integers(1, 3))
def test_every_item_comes_once_and_in_order(items: list[int], ahead: int, stages: int) -> None:
    stage = Prefetch(items, ahead=ahead, name="first")
    for number in range(stages - 1):
        stage = Prefetch(stage, ahead=ahead, name=f"stage {number}")
    assert list(stage) == items
    assert stage.exhausted


def test_a_stage_runs_ahead_by_no_more_than_it_may() -> None:
    taken: list[int] = []
    reached = threading.Semaphore(0)

    def source() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            reached.release()
            yield number

    stage = Prefetch(source(), ahead=3, name="stage")
    for _ in range(4):
        reached.acquire()
    assert next(stage) == 0
    reached.acquire()
    assert len(taken) == 5
    stage.close()


def test_an_error_comes_where_the_item_would_have_come() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("torn")

    stage = Prefetch(source(), ahead=8, name="stage")
    assert [next(stage), next(stage)] == [1, 2]
    for _ in range(2):
        with pytest.raises(OSError, match="torn"):
            next(stage)
    assert not stage.exhausted


def test_closing_wakes_who_waits_and_is_not_taken_for_the_end() -> None:
    asked = threading.Event()
    never = threading.Event()

    def source() -> Iterator[int]:
        asked.set()
        never.wait()
        yield 1

    stage = Prefetch(source(), ahead=1, name="stage")
    asked.wait()
    waiter = threading.Thread(target=stage.close)
    waiter.start()
    assert list(stage) == []
    waiter.join()
    assert not stage.exhausted
    never.set()


def test_closing_an_exhausted_stage_changes_nothing() -> None:
    stage = Prefetch([1, 2], ahead=2, name="stage")
    assert list(stage) == [1, 2]
    stage.close()
    assert stage.exhausted


def test_closing_drops_what_was_ready() -> None:
    stage = Prefetch([1, 2, 3], ahead=3, name="stage")
    assert next(stage) == 1
    stage.close()
    assert list(stage) == []
    assert not stage.exhausted


def test_running_ahead_by_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Prefetch([1], ahead=0, name="stage")
