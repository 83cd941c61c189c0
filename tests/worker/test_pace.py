"""Throughput over time and by worker: sums of many timelines, and how they are drawn."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_worker.finalizer import plots, speed
from rephrase_worker.pace import BINS, NAMED, SOFTWARE, Pace, PaceSums
from rephrase_worker.timeline import CommitNote, Timeline, Worker, timeline

HOUR = 3_600_000


def note(
    worker: str = "pod",
    *,
    at: int,
    engine: int,
    tokens: int,
    node: str = "",
    gpus: int = 1,
    startup: int = 0,
    settings: str = "",
) -> CommitNote:
    return CommitNote(
        worker=Worker(name=worker, node=node, gpus=gpus, software="vLLM 1, worker 2", settings=settings),
        at=at,
        engine=engine,
        startup=startup,
        samples=1,
        tokens=tokens,
    )


def pace_of(*timelines: Timeline) -> Pace:
    sums = PaceSums()
    for each in timelines:
        sums.add(each)
    pace = sums.pace()
    assert pace is not None
    return pace


TIMELINES = st.lists(
    st.lists(
        st.builds(
            note,
            st.sampled_from("abcdef"),
            at=st.integers(10**12, 10**12 + 200 * HOUR),
            engine=st.integers(0, 2 * HOUR),
            tokens=st.integers(0, 10**7),
            gpus=st.integers(0, 8),
        ),
        max_size=12,
    ).map(timeline),
    min_size=1,
    max_size=12,
).filter(lambda found: any(each.points for each in found))


@settings(deadline=None)
@given(TIMELINES, st.randoms(use_true_random=False))
def test_bins_hold_all_work_in_whatever_order_shards_come(
    timelines: list[Timeline], order: random.Random
) -> None:
    pace = pace_of(*timelines)
    points = [point for each in timelines for point in each.points]
    assert sum(each.tokens for each in pace.bins) == sum(point.tokens for point in points)
    assert sum(each.engine for each in pace.bins) == sum(point.engine for point in points)
    assert len(pace.bins) <= BINS
    mixed = list(timelines)
    order.shuffle(mixed)
    assert pace_of(*mixed) == pace
    assert Pace.model_validate_json(pace.to_json()) == pace


def test_no_work_has_no_pace() -> None:
    assert PaceSums().pace() is None
    sums = PaceSums()
    sums.add(Timeline())
    assert sums.pace() is None


def test_the_pace_of_steady_workers_is_what_they_did() -> None:
    began = 1_800_000_000_000
    pace = pace_of(
        *(
            timeline(
                note(
                    worker,
                    at=began + minute * 60_000,
                    engine=60_000,
                    tokens=60 * 1000,
                    startup=30_000 if minute == 1 else 0,
                    node="node",
                    gpus=2,
                )
                for minute in range(1, 61)
            )
            for worker in ("one", "two")
        )
    )
    facts = dict(speed.facts(pace, rows=100))
    assert facts["Generated"] == "2027-01-15 08:00:00 to 2027-01-15 09:00:00 UTC, 1 h"
    assert facts["Workers"] == "2 workers of 2 GPUs on 1 node"
    assert facts["Mean throughput"] == "2,000 output tokens/s"
    assert facts["Per GPU"] == "500 output tokens/s while its engine ran"
    assert facts["GPU-hours"] == "4.0, 0.8% of it for starting engines"
    assert facts["Made again"] == "20 samples (16.7%) after failures"
    assert speed.throughput(pace).alternative == (
        "Output tokens per second over 1 h: 2,000 in the mean, 2,000 at most."
    )
    assert "2.0 in the mean, 2.0 at most" in speed.running(pace).alternative
    assert [row.percent for row in speed.workers(pace)] == ["100.0%", "100.0%"]
    assert speed.nodes(pace) == [], "there is only one"


def test_versions_and_settings_are_named_each_once() -> None:
    pace = pace_of(
        *(
            timeline([note(f"{n}", at=10**9 + n, engine=9, tokens=1, settings=f"maxNumSeqs {n % 9}")])
            for n in range(50)
        )
    )
    assert [words for name, words in speed.facts(pace, 50) if name == "Software"] == ["vLLM 1, worker 2"]
    assert pace.settings == [f"maxNumSeqs {n}" for n in range(SOFTWARE)]


def test_workers_without_a_gpu_are_counted_in_hours_of_workers() -> None:
    pace = pace_of(timeline([note(at=HOUR * 500, engine=HOUR, tokens=360_000, gpus=0)]))
    facts = dict(speed.facts(pace, rows=1))
    assert facts["Worker-hours"].startswith("1.0,")
    assert facts["Per worker"] == "100 output tokens/s while its engine ran"
    assert "Made again" not in facts


def test_of_many_workers_the_slowest_and_the_fastest_are_named() -> None:
    timelines = [
        timeline([note(f"pod-{n:04}", at=10**9 + n, engine=HOUR, tokens=3600 * n, node=f"node-{n % 50}")])
        for n in range(1000)
    ]
    pace = pace_of(*timelines)
    assert pace.total.workers == 1000
    names = [each.name for each in pace.workers]
    assert names == [f"pod-{n:04}" for n in (*range(NAMED), *range(1000 - NAMED, 1000))]
    assert len(pace.nodes) == 2 * NAMED
    assert sum(count for _, count in pace.speeds) == 1000
    assert len(pace.speeds) <= 21
    picture = speed.speeds(pace)
    assert picture is not None
    assert "The speed of 1,000 workers" in picture.alternative
    assert speed.left_out(pace) is not None


def test_a_point_without_engine_time_is_no_division_by_zero() -> None:
    pace = pace_of(timeline([note(at=10**12, engine=0, tokens=5)]))
    assert pace.total.speed == 0
    for picture in (speed.throughput(pace), speed.running(pace)):
        assert_drawable(picture.plot)


def assert_drawable(plot: plots.Plot) -> None:
    for numbers in re.findall(r"-?[\d.]+|nan|inf", plot.shape + plot.edge):
        assert -0.01 <= float(numbers) <= plots.SIDE + 0.01
    for tick in (*plot.x_ticks, *plot.y_ticks):
        assert re.fullmatch(r"\d+\.\d\d%", tick.place)
        assert float(tick.place[:-1]) <= 100


VALUES = st.lists(st.floats(0, 1e15, allow_nan=False), max_size=50)


@given(VALUES, st.floats(0, 1e9))
def test_a_line_of_any_values_stays_within_its_square(values: list[float], width: float) -> None:
    end = width * len(values)
    spans = [(number * width, (number + 1) * width, value) for number, value in enumerate(values)]
    assert_drawable(plots.steps(spans, end=max(end, spans[-1][1]) if spans else 0.0, label=str))


@given(VALUES)
def test_columns_of_any_values_stay_within_their_square(values: list[float]) -> None:
    plot = plots.columns(values, [(place, "x") for place in range(len(values))], label=str)
    assert_drawable(plot)
    assert plot.shape.count("M") == sum(value > 0 for value in values)


def test_rounding_does_not_make_an_axis_half_as_long_again() -> None:
    plot = plots.steps([(0.0, 1.0, 1.003)], end=1.0, label=str)
    assert [tick.label for tick in plot.y_ticks] == ["0.0", "0.5", "1.0"]


def test_time_without_work_is_drawn_as_nothing() -> None:
    plot = plots.steps([(10.0, 20.0, 4.0), (30.0, 40.0, 4.0)], end=50.0, label=str)
    assert plot.edge == "M0 1000L200 1000L200 0L400 0L400 1000L600 1000L600 0L800 0L800 1000L1000 1000"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (10**6, "11 d 13 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert plots.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "top"), [(0.003, 0.005), (1, 1), (1.1, 2), (37, 50), (60, 100), (5_000, 5_000)]
)
def test_axes_end_at_round_numbers(value: float, top: float) -> None:
    assert plots.nice(value) == pytest.approx(top)
