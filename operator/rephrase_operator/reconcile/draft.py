"""The status and the actions of a pass while they are being decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from rephrase_operator.api import RephraseJobSpec, conditions
from rephrase_operator.api.conditions import ConditionReason, ConditionType
from rephrase_operator.api.status import Condition, Generating, Phase, RephraseJobStatus
from rephrase_operator.library import Library
from rephrase_operator.observed.progress import Expected, idle_progress
from rephrase_operator.observed.readiness import Readiness, assess
from rephrase_operator.observed.views import JobObject, Observed, Step
from rephrase_operator.pod_defaults import PodDefaults
from rephrase_operator.reconcile.decision import Action, Decision
from rephrase_operator.reconcile.engine_profile import EngineVerdict, judge
from rephrase_operator.reconcile.estimation import statistics_of
from rephrase_operator.reconcile.events import transitions
from rephrase_operator.reconcile.pods import (
    cache_claim,
    defaults_of,
    gpus_per_worker,
    node_selector,
    prerequisites,
)
from rephrase_operator.settings import Settings
from rephrase_worker.profiles import MEAN_OUTPUT_TOKENS
from rephrase_worker.spec import EngineSettings


class Draft:
    """Collects what a pass decides. It changes nothing else."""

    def __init__(
        self,
        job: JobObject,
        spec: RephraseJobSpec,
        seen: Observed,
        now: datetime,
        settings: Settings,
        library: Library,
    ) -> None:
        self.job = job
        self.spec = spec
        self.seen = seen
        self.now = now
        self.settings = settings
        self.library = library
        self.status = job.status.model_copy(update={"observed_generation": job.generation})
        self._actions: list[Action] = []
        self._requeue: float | None = None

    @property
    def gpus(self) -> int:
        """GPUs of a worker, 0 on CPUs."""
        return gpus_per_worker(self.engine, self.pod_defaults)

    @property
    def pod_defaults(self) -> PodDefaults:
        """The installer's settings of the job's pods."""
        return defaults_of(self.job, self.settings)

    @property
    def engine(self) -> EngineSettings:
        """The engine's settings as they are resolved."""
        known = self.status.engine
        return self.spec.engine.settings if known is None else known.settings

    def judge_engine(self) -> EngineVerdict:
        """The verdict on the engine's settings, for the pods that the job gets here."""
        return judge(
            self.spec,
            self.status,
            node_selector=node_selector(self.spec, self.pod_defaults),
            accelerated=bool(self.pod_defaults.accelerator_resource),
        )

    @property
    def expected(self) -> Expected | None:
        """What is expected of a worker; None if nothing can be expected."""
        known = self.status.engine
        if known is None or known.tokens_per_second_per_gpu is None:
            return None
        return Expected(
            tokens_per_second=float(known.tokens_per_second_per_gpu * self.engine.gpus),
            tokens_per_sample=self._tokens_per_sample,
        )

    @property
    def _tokens_per_sample(self) -> float:
        """What is expected of an output, from the sample of the documents if there is one."""
        statistics = statistics_of(self.status)
        if statistics is not None and statistics.output_tokens:
            return statistics.output_tokens / self.samples_per_document
        return float(min(MEAN_OUTPUT_TOKENS, self.spec.sampling.max_tokens))

    @property
    def samples_per_document(self) -> int:
        """Outputs asked for per document."""
        return len(self.spec.prompts) * self.spec.sampling.rollouts

    def readiness(self, step: Step) -> Readiness:
        """How the pods of a step are doing."""
        defaults, gpus = self.pod_defaults, self.gpus if step is Step.GENERATE else 0
        needed = prerequisites(self.spec, defaults, gpus=gpus)
        pods = self.seen.of(step, self.job.uid)
        found = assess(self.seen.jobs.get(step), pods, self.now, needed)
        claim, own = cache_claim(self.job.namespace, self.spec, defaults), self.spec.worker.model_cache_claim
        if claim is None or claim == own or not found.trouble or f'"{claim}"' not in found.message:
            return found
        return replace(found, message=f"{found.message} {conditions.default_claim(claim)}")

    def set(self, **fields: Any) -> None:
        """Set fields of the status."""
        self.status = self.status.model_copy(update=fields)

    def do(self, action: Action) -> None:
        """Add an action. Its effect is seen in a later pass."""
        self._actions.append(action)

    def look_again(self, seconds: float) -> None:
        """Ask for another pass after this many seconds at the latest."""
        self._requeue = seconds if self._requeue is None else min(self._requeue, seconds)

    def condition(self, kind: ConditionType, holds: bool | None, reason: str, message: str) -> None:
        """Set a condition."""
        self.set(
            conditions=conditions.with_condition(
                list(self.status.conditions),
                kind,
                holds,
                reason,
                message,
                now=self.now,
                generation=self.job.generation,
            )
        )

    def phase(self, phase: Phase, message: str) -> None:
        """Set phase and message. Leaving Running ends the current stretch of generating."""
        if phase is not Phase.RUNNING and self.status.dataset is None:
            self.generated_until(self.now)
            self.set(progress=idle_progress(self.status.progress))
        self.set(phase=phase, message=message)

    def failed_shards(self) -> str:
        """The first abandoned shards with the reason of each, for a message."""
        failed = [failure for failure in self.status.failures if failure.failed]
        return " ".join(f"Shard {found.shard}: {found.reason}: {found.message}" for found in failed[:3])

    def fail_to_start(self, why: str) -> None:
        """End the job because nothing of it could start within the deadline."""
        seconds = self.spec.failure_policy.pending_deadline_seconds
        self.fail(ConditionReason.PENDING_DEADLINE, conditions.pending_deadline(seconds, why))

    def fail(self, reason: str, message: str) -> None:
        """End the job as failed."""
        self.phase(Phase.FAILED, message)
        self.set(completion_time=self.now, replicas=0, nothing_runs_since=None)
        self.condition(ConditionType.FAILED, True, reason, message)
        self.condition(ConditionType.COMPLETE, False, reason, message)
        self._settle_workers()
        self.look_again(0)

    def succeed(self, message: str) -> None:
        """End the job as succeeded."""
        self.phase(Phase.SUCCEEDED, message)
        self.set(completion_time=self.now, replicas=0, nothing_runs_since=None)
        self.condition(ConditionType.COMPLETE, True, ConditionReason.SUCCEEDED, message)
        self.condition(ConditionType.FAILED, False, ConditionReason.SUCCEEDED, message)
        self._settle_workers()
        self.look_again(0)

    def decide(self) -> Decision:
        """The outcome."""
        return Decision(
            status=self.status,
            actions=tuple(self._actions),
            events=transitions(self.job.status, self.status),
            requeue_after=self._requeue,
        )

    def generating_since(self, moment: datetime) -> None:
        """Note that workers run. A stretch of generating begins, unless one has begun already."""
        known = self.status.generating or Generating()
        if known.since is None:
            self.set(generating=known.model_copy(update={"since": moment}))

    def generated_until(self, moment: datetime) -> None:
        """End the current stretch of generating, if there is one."""
        known = self.status.generating
        if known is not None and known.since is not None:
            length = (moment - known.since).total_seconds()
            self.set(generating=Generating(seconds=known.seconds + max(0.0, length)))

    def _settle_workers(self) -> None:
        """What never ended by itself: the condition would speak of pods that are gone."""
        ready: Condition | None = self.status.condition(ConditionType.WORKERS_READY)
        if ready is not None and ready.status == "True":
            self.condition(
                ConditionType.WORKERS_READY, False, ConditionReason.NO_WORKERS, "The job has ended."
            )


def started(status: RephraseJobStatus) -> bool:
    """True once planning has begun and the recipe is frozen."""
    return status.start_time is not None
