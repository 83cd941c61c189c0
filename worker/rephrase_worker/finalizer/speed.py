"""The pace as figures, sentences and plots: how long, how fast, by whom, and what it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rephrase_worker.finalizer.figures import compact, number, share
from rephrase_worker.finalizer.plots import Plot, columns, duration, steps
from rephrase_worker.pace import Pace, Share

WORKER_HEADINGS = ("Worker", "Node", "Output tokens", "Engine ran", "Tokens/s")
NODE_HEADINGS = ("Node", "Workers", "Output tokens", "Engines ran", "Tokens/s")
SPEED_LABELS = 6


@dataclass(frozen=True)
class Picture:
    """A plot with its words."""

    title: str
    alternative: str
    """What the plot shows, in a sentence, for whoever does not see it."""
    plot: Plot


@dataclass(frozen=True)
class Row:
    """A line of a table with a bar."""

    cells: tuple[str, ...]
    percent: str
    """Length of the bar."""


def facts(pace: Pace, rows: int) -> list[tuple[str, str]]:
    """Names and values. `rows`: samples of the finished shards."""
    total = pace.total
    took = (pace.ended - pace.began) / 1000
    found = [
        ("Generated", f"{_moment(pace.began)} to {_moment(pace.ended)} UTC, {duration(took)}"),
        ("Workers", _workers(pace)),
        ("Mean throughput", f"{_rate(total.tokens / took if took else 0)} output tokens/s"),
        (f"Per {_unit(pace)}", f"{_rate(total.speed)} output tokens/s while its engine ran"),
        *hours(pace),
        *(("Software", words) for words in pace.software),
        *(("Engine settings", words) for words in pace.settings),
    ]
    if (again := total.samples - rows) > 0:
        found.append(
            ("Made again", f"{number(again)} samples ({share(again, total.samples)}) after failures")
        )
    return found


def hours(pace: Pace) -> list[tuple[str, str]]:
    """What the job took, in GPU-hours, or in hours of workers without a GPU."""
    total = pace.total
    if pace.gpu_milliseconds:
        name, used = "GPU-hours", pace.gpu_milliseconds
    else:
        name, used = "Worker-hours", total.engine + total.startup
    startup = share(total.startup, total.startup + total.engine)
    return [(name, f"{_hours(used)}, {startup} of it for starting engines")]


def throughput(pace: Pace) -> Picture:
    """Output tokens per second over time."""
    rates = [each.tokens * 1000 / _lasted(pace, each.start) for each in pace.bins]
    end = (pace.ended - pace.began) / 1000
    mean = pace.total.tokens / end if end else 0.0
    alternative = (
        f"Output tokens per second over {duration(end)}: {_rate(mean)} in the mean, "
        f"{_rate(max(rates, default=0))} at most."
    )
    return Picture(
        "Output tokens per second", alternative, steps(_values(pace, rates), end=end, label=compact)
    )


def running(pace: Pace) -> Picture:
    """How many engines ran over time."""
    counts = [each.engine / _lasted(pace, each.start) for each in pace.bins]
    end = (pace.ended - pace.began) / 1000
    mean = pace.total.engine / 1000 / end if end else 0.0
    most = max(counts, default=0)
    alternative = f"Engines that ran over {duration(end)}: {mean:.1f} in the mean, {most:.1f} at most."
    return Picture("Engines running", alternative, steps(_values(pace, counts), end=end, label=_few))


def speeds(pace: Pace) -> Picture | None:
    """How many workers had which speed; None where the workers are few enough to be listed."""
    if pace.total.workers <= len(pace.workers) or not pace.speeds:
        return None
    counts, step = dict(pace.speeds), pace.speed_step
    first, last = pace.speeds[0][0], pace.speeds[-1][0]
    values = [counts.get(speed, 0) for speed in range(first, last + 1, step)]
    every = max(1, len(values) // SPEED_LABELS)
    labels = [(place, compact(first + place * step)) for place in range(0, len(values) + 1, every)]
    alternative = (
        f"The speed of {number(pace.total.workers)} workers in output tokens per second and {_unit(pace)}: "
        f"from {number(first)} to {number(last + step)}, most of them from "
        f"{number(max(pace.speeds, key=lambda it: it[1])[0])} on."
    )
    title = f"Workers by output tokens per second and {_unit(pace)}"
    return Picture(title, alternative, columns(values, labels, label=compact))


def workers(pace: Pace) -> list[Row]:
    """A row for each worker that is named, in the order of `WORKER_HEADINGS`."""
    return _rows(pace.workers, lambda each: (each.name, each.node or "-"))


def nodes(pace: Pace) -> list[Row]:
    """A row for each node that is named, in the order of `NODE_HEADINGS`; none where there is only one."""
    return _rows(pace.nodes, lambda each: (each.name, number(each.workers))) if len(pace.nodes) > 1 else []


def left_out(pace: Pace) -> str | None:
    """What the tables of nodes and workers do not show."""
    shown = [
        f"{len(named)} of {number(count)} {what}"
        for what, named, count in (
            ("nodes", pace.nodes, pace.node_count),
            ("workers", pace.workers, pace.total.workers),
        )
        if count > len(named)
    ]
    if not shown:
        return None
    return (
        f"Shown are the slowest and the fastest: {' and '.join(shown)}, without those whose engine ran for "
        "less than 30 s."
    )


def _rows(shares: Sequence[Share], names: Callable[[Share], tuple[str, str]]) -> list[Row]:
    fastest = max((each.speed for each in shares), default=0.0)
    return [
        Row(
            (
                *names(each),
                number(each.tokens),
                duration(each.engine / 1000),
                _rate(each.speed),
            ),
            f"{each.speed / fastest if fastest else 0:.1%}",
        )
        for each in shares
    ]


def _values(pace: Pace, values: Sequence[float]) -> list[tuple[float, float, float]]:
    """(begin, end, value) in seconds since the beginning."""
    return [
        (
            max(0, each.start - pace.began) / 1000,
            (min(each.start + pace.width, pace.ended) - pace.began) / 1000,
            value,
        )
        for each, value in zip(pace.bins, values, strict=True)
    ]


def _lasted(pace: Pace, start: int) -> int:
    """Milliseconds of a bin that are within the job: the first and the last bin may be cut."""
    return max(1, min(start + pace.width, pace.ended) - max(start, pace.began))


def _workers(pace: Pace) -> str:
    total = pace.total
    gpus = {each.gpus for each in pace.workers}
    words = [f"{number(total.workers)} worker{'' if total.workers == 1 else 's'}"]
    if len(gpus) == 1 and (each := gpus.pop()):
        words.append(f"of {each} GPU{'' if each == 1 else 's'}")
    if pace.node_count:
        words.append(f"on {number(pace.node_count)} node{'' if pace.node_count == 1 else 's'}")
    return " ".join(words)


def _unit(pace: Pace) -> str:
    return "GPU" if pace.gpu_milliseconds else "worker"


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _hours(milliseconds: int) -> str:
    hours = milliseconds / 3_600_000
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}" if hours < 1 else f"{hours:.1f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _few(value: float) -> str:
    return compact(value) if value == int(value) else f"{value:g}"
