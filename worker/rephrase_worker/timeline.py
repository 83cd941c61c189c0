"""When a shard's samples were made, by whom and how fast: small figures that each commit notes of itself.

A note lies in the metadata of its segment, so that it is there exactly if the samples are. Merging carries
the notes over into the shard's manifest, before the segments are removed. They tell of work: a sample that
two workers made is in the notes of both, and what a worker did after its last commit is in none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from rephrase_worker.spec import Contract

POINTS = 100
"""Most points of a shard's timeline. A shard is about an hour, and a commit about a minute."""

WORKERS = 20
"""Most workers that a shard's timeline names; the work of more is counted as that of the last."""


class Worker(Contract):
    """A process that worked on a shard."""

    name: str
    """Of its pod, or the pod's uid."""
    node: str = ""
    gpus: int = 0
    """GPUs that it held: 0 on CPUs."""
    software: str = ""
    """Engine and worker with their versions: `vLLM 0.32.0, rephrase-operator 0.1.0`."""
    settings: str = ""
    """The engine's settings: `maxNumSeqs 2048, dtype bfloat16`."""


class CommitNote(Contract):
    """What one commit notes of itself. Times are milliseconds."""

    worker: Worker
    at: int
    """The moment by the worker's wall clock, since 1970 UTC."""
    engine: int
    """How long the worker's engine has run since its commit before, by its monotonic clock."""
    startup: int = 0
    """Of the worker's first commit: how long it took until its engine was ready."""
    samples: int
    tokens: int
    """Output tokens that the engine generated since the commit before, of unfinished requests too. (Those of
    the samples would all seem to be made when a long request ends.)"""


class Point(NamedTuple):
    """The work of one or several commits of a worker: until `at`, for `engine` milliseconds."""

    worker: int
    """Its place in `Timeline.workers`."""
    at: int
    engine: int
    startup: int
    samples: int
    tokens: int


class Timeline(Contract):
    """The work on one shard, in the order of time."""

    workers: list[Worker] = Field(default_factory=list)
    points: list[Point] = Field(default_factory=list)


def timeline(notes: Iterable[CommitNote]) -> Timeline:
    """The notes of a shard as at most `POINTS` points: neighbours of one worker are added up where needed."""
    ordered = sorted(notes, key=_order)
    workers = list(dict.fromkeys(note.worker for note in ordered))
    numbers = {worker: min(number, WORKERS - 1) for number, worker in enumerate(workers)}
    each: list[list[Point]] = [[] for _ in workers[:WORKERS]]
    for note in ordered:
        number = numbers[note.worker]
        each[number].append(
            Point(
                number,
                note.at,
                note.engine,
                note.startup,
                note.samples,
                note.tokens,
            )
        )
    together = 1
    while sum(-(-len(points) // together) for points in each) > POINTS:
        together += 1
    points = [
        _sum(of_worker[start : start + together])
        for of_worker in each
        for start in range(0, len(of_worker), together)
    ]
    return Timeline(
        workers=workers[:WORKERS], points=sorted(points, key=lambda point: (point.at, point.worker))
    )


def _order(note: CommitNote) -> tuple[object, ...]:
    """By time; what follows makes the order the same whichever way the notes come."""
    worker = note.worker
    figures = (note.engine, note.startup, note.samples, note.tokens)
    return note.at, *worker.model_dump().values(), *figures


def _sum(points: list[Point]) -> Point:
    columns = list(zip(*points, strict=True))
    return Point(points[0].worker, max(columns[1]), *map(sum, columns[2:]))
