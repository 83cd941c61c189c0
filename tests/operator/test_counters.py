"""A job's counters never fall, and a restart of the operator adds nothing to them.

Prometheus takes a counter that falls for one that started again from zero, and adds its whole value once
more. Here a job is worked on by pods that fail, resume and vanish, by an operator that is killed at any
moment, and by passes whose status is never written; after each step the operator is scraped.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_operator.api.status import Phase
from rephrase_operator.observed.views import Step
from rephrase_operator.runtime.metrics import Metrics
from rephrase_worker.spec import Reason
from tests.operator.builders import World
from tests.programs import program

SHARDS = 3
Name = tuple[str, tuple[tuple[str, str], ...]]
Values = dict[Name, float]


@dataclass
class Shard:
    """A shard as its workers see it."""

    attempt: int = 0
    """Number of its present or last pod; 0: it has had none."""
    running: bool = False
    done: bool = False
    committed: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    """What the present pod reports: what was committed, and what it has made itself."""


class Job:
    """A job, its workers and an operator that can be killed."""

    def __init__(self) -> None:
        self.world = World().planned(shards=SHARDS)
        self.shards = [Shard() for _ in range(SHARDS)]
        self.metrics = Metrics()
        self.known: Values = {}
        """The counters as they were scraped last."""
        self.look()

    def scrape(self) -> Values:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.metrics.collect()
            for sample in family.samples
            if family.type == "counter"
        }

    def look(self, *, written: bool = True) -> None:
        """Make a pass, and scrape. A pass whose status is not written has met a conflict, or a crash."""
        before = self.world.status
        self.world.run(1)
        if not written:
            self.world.status = before
        self.metrics.show(self.world.shown)
        self.compare(self.scrape())

    def compare(self, found: Values) -> None:
        for name, value in self.known.items():
            assert found[name] >= value, f"{name} has fallen from {value} to {found[name]}"
        self.known = found

    def restart(self) -> None:
        """The next process knows nothing but what is in the API, and shows it before its first pass."""
        self.metrics = Metrics()
        self.world.reports = {}
        assert self.scrape() == {}, "a process that knows no job yet exports nothing, not even zero"
        self.metrics.show(self.world.shown)
        found = self.scrape()
        assert found == self.known, "a restart adds nothing, and takes nothing away"

    def start(self, number: int) -> None:
        shard = self.shards[number]
        if not shard.running and not shard.done:
            shard.attempt, shard.running = shard.attempt + 1, True
            shard.seen = shard.committed.copy()
            self._tell(number)

    def work(self, number: int, made: dict[str, int], *, commit: bool) -> None:
        shard = self.shards[number]
        if shard.running:
            shard.seen.update(made)
            shard.committed = shard.seen.copy() if commit else shard.committed
            self._tell(number)

    def fail(self, number: int, node: str, reason: Reason) -> None:
        shard = self.shards[number]
        if shard.running:
            shard.running = False
            self.world.fail_pod(number, attempt=shard.attempt, node=node, reason=reason)

    def finish(self, number: int) -> None:
        shard = self.shards[number]
        if shard.running:
            shard.running, shard.done = False, True
            self.world.succeed(number, attempt=shard.attempt, **_report(shard.seen))

    def collect_garbage(self) -> None:
        """Pods that have ended vanish."""
        self.world.pods = [pod for pod in self.world.pods if pod.live]

    def end(self, lost: int) -> None:
        """Bring the job to its end. The exact account can be smaller than what was reported."""
        for number in range(SHARDS):
            self.start(number)
            self.finish(number)
        self.world.job_says(Step.GENERATE, complete=True).after(minutes=1)
        for _ in range(3):
            self.look()
        assert self.world.phase is Phase.FINALIZING
        self.restart()
        text = sum(shard.seen["samples_text"] for shard in self.shards)
        self.world.finalized(
            samples_text=max(0, text - lost),
            samples_filtered=min(text, lost),
            prompt_tokens=1,
            output_tokens=1,
        )
        self.look()
        assert self.world.phase is Phase.SUCCEEDED
        self.restart()

    def _tell(self, number: int) -> None:
        shard = self.shards[number]
        self.world.running(number, attempt=shard.attempt, **_report(shard.seen))


def _report(seen: Counter[str]) -> dict[str, Any]:
    errors = {name: count for name, count in seen.items() if name.startswith("code")}
    return {
        "documents_done": seen["samples_text"] // 2,
        "samples_text": seen["samples_text"],
        "samples_error": sum(errors.values()),
        "errors": dict(Counter(errors).most_common(2)),
        "prompt_tokens": 40 * seen["samples_text"],
        "output_tokens": seen["output_tokens"],
        "generated_tokens": seen["output_tokens"],
    }


STEPS = st.one_of(
    st.tuples(st.just("start"), st.integers(0, SHARDS - 1)),
    st.tuples(
        st.just("work"),
        st.integers(0, SHARDS - 1),
        st.dictionaries(
            st.sampled_from(["samples_text", "output_tokens", "code-a", "code-b", "code-c"]),
            st.integers(1, 9),
        ),
        st.booleans(),
    ),
    st.tuples(
        st.just("fail"),
        st.integers(0, SHARDS - 1),
        st.sampled_from(["gpu-1", "gpu-2", ""]),
        st.sampled_from([Reason.ENGINE_FAILED, Reason.ENGINE_HANGS]),
    ),
    st.tuples(st.just("finish"), st.integers(0, SHARDS - 1)),
    st.sampled_from([("restart",), ("garbage",), ("lost",)]),
)


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=16), st.integers(0, 9))
def test_counters_never_fall_and_restarts_are_not_seen(steps: list[tuple[Any, ...]], lost: int) -> None:
    job = Job()
    for what, *more in steps:
        job.world.after(seconds=7)
        match what:
            case "start":
                job.start(*more)
            case "work":
                number, made, commit = more
                job.work(number, made, commit=commit)
            case "fail":
                job.fail(*more)
            case "finish":
                job.finish(*more)
            case "restart":
                job.restart()
            case "garbage":
                job.collect_garbage()
        job.look(written=what != "lost")
    job.end(lost)


def test_prometheus_sees_no_more_over_restarts_than_was_done(tmp_path: Path) -> None:
    """promtool's PromQL on what is scraped once a minute, from the first worker to the finalized dataset."""
    job = Job()
    minutes: list[Values] = []

    def a_minute(*, operator: bool = True) -> None:
        job.world.after(minutes=1)
        if operator:
            job.look()
        minutes.append(job.scrape() if operator else {})

    a_minute()
    job.start(0)
    job.start(1)
    for _ in range(3):
        job.work(0, {"samples_text": 4, "output_tokens": 900}, commit=True)
        job.work(1, {"samples_text": 2, "output_tokens": 100}, commit=False)
        a_minute()
    job.fail(1, "gpu-1", Reason.ENGINE_FAILED)
    job.restart()
    for _ in range(3):  # The operator is down, and a worker goes on.
        job.work(0, {"samples_text": 1, "output_tokens": 200}, commit=True)
        a_minute(operator=False)
    a_minute()
    job.restart()
    job.start(1)
    a_minute()
    job.end(lost=5)
    a_minute()

    last = minutes[-1]
    cases = [name for name in minutes[0] if name[0] != "rephrase_job_gpu_seconds_total"]
    assert len(cases) == 6, cases
    span = f"{len(minutes) - 1}m"
    test = {
        "interval": "1m",
        "input_series": [
            {"series": _selector(name), "values": " ".join(str(seen.get(name, "_")) for seen in minutes)}
            for name in cases
        ],
        "promql_expr_test": [
            {
                "expr": f"increase({_selector(name)}[{span}])",
                "eval_time": span,
                "exp_samples": [
                    {"labels": _labels(name), "value": last[name] - minutes[0][name]},
                ],
            }
            for name in cases
        ],
    }
    file = tmp_path / "restarts.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    told = subprocess.run([program("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


def _labels(name: Name) -> str:
    return "{" + ",".join(f'{label}="{value}"' for label, value in name[1]) + "}"


def _selector(name: Name) -> str:
    return name[0] + _labels(name)
