"""A fleet in virtual time: a scheduler with few GPUs, workers that take hours, the Job controller's rules.

Plays what surrounds a `World` minute by minute, with a pass of `reconcile` after each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.views import PodView, Step
from rephrase_worker.spec import ExitCode, Reason
from tests.operator.builders import World

MINUTE = timedelta(minutes=1)
FIRST_BACKOFF = timedelta(seconds=10)
LONGEST_BACKOFF = timedelta(minutes=10)


@dataclass
class Fleet:
    """The workers of one job."""

    world: World
    gpus: int
    """Pods that can run at once; further ones are Unschedulable. May change at any time."""
    minutes: int = 60
    """What a shard takes. A worker that was stopped goes on where it was."""
    fails: Callable[[int], bool] = lambda _shard: False
    """Shards whose worker fails every time, at once."""
    seen: list[str] = field(default_factory=list)
    """The phases of the job, in order."""
    _work: Counter[int] = field(default_factory=Counter)
    _attempts: Counter[int] = field(default_factory=Counter)
    _failures: Counter[int] = field(default_factory=Counter)
    _not_before: dict[int, datetime] = field(default_factory=dict)

    def run(self, *, hours: float) -> Fleet:
        """Let time pass, or until the workers' Job has ended and the job goes on from it."""
        end = self.world.now + timedelta(hours=hours)
        while self.world.now < end and not (self.world.phase is None or self._over()):
            self._minute()
        return self

    def _over(self) -> bool:
        return self.world.status.generated or (self.world.phase is not None and self.world.phase.final)

    def _minute(self) -> None:
        self.world.now += MINUTE
        if Step.GENERATE in self.world.jobs and not self._ended():
            # First, so that a GPU that has become free is idle in one pass.
            self._schedule()
            self._end_pods()
            self._stop_pods()
            self._make_pods()
            self._end_job()
        self.world.run()
        phase = str(self.world.phase)
        if self.seen[-1:] != [phase]:
            self.seen.append(phase)

    @property
    def _job(self) -> Any:
        return self.world.jobs[Step.GENERATE]

    @property
    def _wanted(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.world.manifests[Step.GENERATE]["spec"]
        return spec

    def _ended(self) -> bool:
        return bool(self._job.complete or self._job.failed)

    def _live(self) -> list[PodView]:
        return [pod for pod in self.world.pods if pod.step == Step.GENERATE and pod.live]

    def _end_pods(self) -> None:
        for pod in self._live():
            assert pod.index is not None
            if pod.phase != "Running":
                continue
            self._work[pod.index] += 1
            attempt = self._attempts[pod.index]
            if self.fails(pod.index):
                self.world.fail_pod(
                    pod.index, attempt=attempt, exit_code=ExitCode.ENGINE, reason=Reason.ENGINE_FAILED
                )
                self._back_off(pod.index)
            elif self._work[pod.index] >= self.minutes:
                self.world.succeed(pod.index, attempt=attempt)

    def _back_off(self, shard: int) -> None:
        self._failures[shard] += 1
        pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (self._failures[shard] - 1))
        self._not_before[shard] = self.world.now + pause
        if self._failures[shard] > self._wanted["backoffLimitPerIndex"]:
            self.world.job_says(Step.GENERATE, failed_indexes=self._job.failed_indexes | Intervals([shard]))

    def _stop_pods(self) -> None:
        """Suspended, or scaled down: the Job controller deletes pods, and workers stop in good order."""
        wanted = 0 if self._job.suspended else self._job.parallelism
        if self._job.suspended:
            # As Kubernetes does: a resumed Job starts anew, with its count of failures.
            self._failures.clear()
            self.world.job_says(Step.GENERATE, start_time=None)
        elif self._job.start_time is None:
            self.world.job_says(Step.GENERATE, start_time=self.world.now)
        for pod in self._live()[wanted:]:
            self.world.pods.remove(pod)

    def _make_pods(self) -> None:
        live = {pod.index for pod in self._live()}
        room = 0 if self._job.suspended else self._job.parallelism - len(live)
        done = self._job.succeeded | self._job.failed_indexes
        waiting = [shard for shard in range(self._wanted["completions"]) if shard not in done]
        for shard in [shard for shard in waiting if shard not in live][: max(0, room)]:
            if self._not_before.get(shard, self.world.now) <= self.world.now:
                self._attempts[shard] += 1
                self.world.pod(Step.GENERATE, f"shard-{shard}-{self._attempts[shard]}", index=shard)

    def _schedule(self) -> None:
        free = self.gpus - sum(pod.phase == "Running" for pod in self._live())
        for pod in [pod for pod in self._live() if pod.phase == "Pending"]:
            assert pod.index is not None
            if free > 0:
                free -= 1
                self.world.running(pod.index, attempt=self._attempts[pod.index])
                self.world.pod(Step.GENERATE, pod.name, trouble="", trouble_message="")
            else:
                message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
                self.world.pod(Step.GENERATE, pod.name, trouble="Unschedulable", trouble_message=message)

    def _end_job(self) -> None:
        failed, most = self._job.failed_indexes, self._wanted.get("maxFailedIndexes")
        if most is not None and len(failed) > most:
            self.world.job_says(
                Step.GENERATE,
                failed=True,
                failed_reason="MaxFailedIndexesExceeded",
                failed_message="Job has exceeded the specified maximal number of failed indexes",
            )
        elif len(failed) + len(self._job.succeeded) < self._wanted["completions"]:
            return
        elif len(failed):
            self.world.job_says(
                Step.GENERATE,
                failed=True,
                failed_reason="FailedIndexes",
                failed_message="Job has failed indexes",
            )
        else:
            self.world.job_says(Step.GENERATE, complete=True)
        for pod in self._live():
            self.world.pods.remove(pod)
