"""How fast the dataset was made: the timelines of all shards as a few hundred figures. Pure.

A job has tens of thousands of shards, so their timelines are added up one by one and memory holds the bins of
one time axis and a few numbers a worker. All sums are of integers: the order of shards changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import Field

from rephrase_worker.spec import Contract
from rephrase_worker.timeline import Point, Timeline

BINS = 240
"""Most bins of the time axis. It begins with bins of a second, and doubles them while there are too many."""

SOFTWARE = 5
"""Versions, and settings, that are named; a job has more only if they were changed again and again."""

NAMED = 12
"""Workers, or nodes, that are named from either end when there are more than twice as many."""

SETTLED = 30_000
"""Milliseconds of engine time below which a worker's speed says little: among many, it is not named."""


class Bin(NamedTuple):
    """What was made within one bin of time."""

    start: int
    """Milliseconds since 1970 UTC."""
    tokens: int
    engine: int
    """Milliseconds of all engines: divided by the width, how many ran."""


class Share(Contract):
    """The work of one worker, or of all workers of one node. Times are milliseconds."""

    name: str
    node: str = ""
    workers: int = 1
    gpus: int = 0
    """Of a worker; the most of any worker of a node."""
    engine: int = 0
    gpu_engine: int = 0
    """`engine` times GPUs; times 1 on CPUs."""
    startup: int = 0
    samples: int = 0
    tokens: int = 0

    @property
    def speed(self) -> float:
        """Output tokens per second and GPU (or worker without one) while the engine ran."""
        return self.tokens * 1000 / self.gpu_engine if self.gpu_engine else 0.0


class Pace(Contract):
    """`_rephrase/pace.json`: throughput over time and by worker, of committed work."""

    schema_version: Literal[1] = 1
    began: int
    ended: int
    """The first and the last moment of work: milliseconds since 1970 UTC, by the workers' wall clocks."""
    width: int
    """Milliseconds of a bin."""
    bins: list[Bin] = Field(default_factory=list)
    """In the order of time; those without work are left out."""
    total: Share
    software: list[str] = Field(default_factory=list)
    settings: list[str] = Field(default_factory=list)
    """Engines, workers and settings that made the dataset, at most `SOFTWARE` of each."""
    gpu_milliseconds: int
    """GPUs times their time, start-up included; 0 on CPUs."""
    workers: list[Share] = Field(default_factory=list)
    """By speed, the slowest first: all, or `NAMED` from either end."""
    nodes: list[Share] = Field(default_factory=list)
    """Likewise."""
    node_count: int = 0
    speeds: list[tuple[int, int]] = Field(default_factory=list)
    """(speed rounded to `speed_step`, number of workers), ascending."""
    speed_step: int = 1


@dataclass
class _Totals:
    """Sums of one worker or node."""

    node: str = ""
    gpus: int = 0
    workers: int = 1
    engine: int = 0
    gpu_engine: int = 0
    gpu: int = 0
    startup: int = 0
    samples: int = 0
    tokens: int = 0

    def share(self, name: str) -> Share:
        return Share(
            name=name,
            node=self.node,
            workers=self.workers,
            gpus=self.gpus,
            engine=self.engine,
            gpu_engine=self.gpu_engine,
            startup=self.startup,
            samples=self.samples,
            tokens=self.tokens,
        )

    def add(self, gpus: int, figures: Point | _Totals) -> None:
        self.gpus = max(self.gpus, gpus)
        self.engine += figures.engine
        self.startup += figures.startup
        self.samples += figures.samples
        self.tokens += figures.tokens
        if isinstance(figures, Point):
            self.gpu_engine += figures.engine * max(1, gpus)
            self.gpu += (figures.engine + figures.startup) * gpus
        else:
            self.gpu_engine += figures.gpu_engine
            self.gpu += figures.gpu


@dataclass
class PaceSums:
    """Adds up timelines."""

    width: int = 1000
    bins: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(output tokens, engine milliseconds) by number: bin n begins at n times the width."""
    workers: dict[str, _Totals] = field(default_factory=dict)
    software: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)
    began: int | None = None
    ended: int | None = None

    def add(self, timeline: Timeline) -> None:
        """Adds the work on one shard."""
        self.software |= {worker.software for worker in timeline.workers if worker.software}
        self.settings |= {worker.settings for worker in timeline.workers if worker.settings}
        for point in timeline.points:
            worker = timeline.workers[point.worker]
            totals = self.workers.setdefault(worker.name, _Totals(node=worker.node))
            totals.add(worker.gpus, point)
            began = point.at - point.engine
            self.began = began if self.began is None else min(self.began, began)
            self.ended = point.at if self.ended is None else max(self.ended, point.at)
            while self.ended // self.width - self.began // self.width >= BINS:
                self._widen()
            for number, tokens, engine in _spread(point, self.width):
                before = self.bins.get(number, (0, 0))
                self.bins[number] = (before[0] + tokens, before[1] + engine)

    def _widen(self) -> None:
        self.width *= 2
        halves, self.bins = self.bins, {}
        for number, (tokens, engine) in halves.items():
            before = self.bins.get(number // 2, (0, 0))
            self.bins[number // 2] = (before[0] + tokens, before[1] + engine)

    def pace(self) -> Pace | None:
        """The sums; None when no shard has noted any work."""
        if self.began is None or self.ended is None:
            return None
        total = _Totals()
        nodes: dict[str, _Totals] = {}
        for worker in self.workers.values():
            total.add(worker.gpus, worker)
            if worker.node:
                node = nodes.setdefault(worker.node, _Totals(node=worker.node, workers=0))
                node.add(worker.gpus, worker)
                node.workers += 1
        total.workers = len(self.workers)
        step, speeds = _speeds(worker.share("").speed for worker in self.workers.values() if worker.engine)
        return Pace(
            began=self.began,
            ended=self.ended,
            width=self.width,
            bins=[Bin(number * self.width, *sums) for number, sums in sorted(self.bins.items())],
            total=total.share("all"),
            software=sorted(self.software)[:SOFTWARE],
            settings=sorted(self.settings)[:SOFTWARE],
            gpu_milliseconds=total.gpu,
            workers=_named(self.workers),
            nodes=_named(nodes),
            node_count=len(nodes),
            speeds=speeds,
            speed_step=step,
        )


def _spread(point: Point, width: int) -> Iterator[tuple[int, int, int]]:
    """The work of a point by the bins that it took. (bin, output tokens, engine milliseconds).

    Rounding is of running totals, so that nothing is lost, and that two bins of half the width hold what one
    holds.
    """
    began, length = point.at - point.engine, point.engine
    if length == 0:
        yield point.at // width, point.tokens, 0
        return
    done_tokens = done = 0
    for number in range(began // width, (point.at - 1) // width + 1):
        upto = min((number + 1) * width, point.at) - began
        tokens = point.tokens * upto // length
        yield number, tokens - done_tokens, upto - done
        done_tokens, done = tokens, upto


def _named(totals: dict[str, _Totals]) -> list[Share]:
    """All of them by speed if they are few, else the slowest and the fastest."""
    ordered = sorted((each.share(name) for name, each in totals.items()), key=lambda it: (it.speed, it.name))
    if len(ordered) <= 2 * NAMED:
        return ordered
    settled = [each for each in ordered if each.engine >= SETTLED]
    return settled if len(settled) <= 2 * NAMED else settled[:NAMED] + settled[-NAMED:]


def _speeds(speeds: Iterable[float]) -> tuple[int, list[tuple[int, int]]]:
    """How many workers have which speed, in steps of 1, 2 or 5 times a power of ten: at most some twenty."""
    found = list(speeds)
    step, widest = 1, (max(found) - min(found)) / 20 if found else 0
    while step < widest:
        step = {1: 2, 2: 5, 5: 10}[int(str(step)[0])] * 10 ** (len(str(step)) - 1)
    counts: dict[int, int] = {}
    for speed in found:
        rounded = int(speed // step) * step
        counts[rounded] = counts.get(rounded, 0) + 1
    return step, sorted(counts.items())
