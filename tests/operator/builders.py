"""Builders of what the operator sees, and a world that plays Kubernetes for the pure reconcile function."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rephrase_operator.api import parse_spec
from rephrase_operator.api.status import Phase, RephraseJobStatus
from rephrase_operator.library import LibraryFacts, LibraryPrompt
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.views import (
    ANNOTATION_GPUS,
    ANNOTATION_HASH,
    ConfigView,
    JobObject,
    JobView,
    LiveReport,
    Observed,
    PodView,
    PromptMap,
    Step,
)
from rephrase_operator.pod_defaults import PodDefaults
from rephrase_operator.reconcile import decision as do
from rephrase_operator.reconcile.decision import Decision
from rephrase_operator.reconcile.events import Event
from rephrase_operator.reconcile.lifecycle import reconcile
from rephrase_operator.settings import Settings
from rephrase_worker.spec import (
    CONTRACT_VERSION,
    ENGINE_FILE,
    RECIPE_FILE,
    Contract,
    Failure,
    FinalReport,
    MixReport,
    PlanReport,
    PublishReport,
    Reason,
    ShardReport,
)


def library_prompt(name: str, instruction: str = "Explain the text.", **facts: Any) -> LibraryPrompt:
    """A prompt of a library, with some facts set."""
    given: dict[str, Any] = {
        "title": "A prompt",
        "intent": "To test with",
        "origin": "These tests",
        "structure": "prose",
        "expected_tokens": 100,
        "sampling": {"temperature": 1.0, "max_tokens": 200},
        "version": 1,
    }
    return LibraryPrompt(name=name, facts=LibraryFacts(**(given | facts)), instruction=instruction)


START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LIBRARY = {name: library_prompt(name) for name in ("faq", "math")}
ON_CPUS = Settings(pod_defaults=PodDefaults(accelerator_resource=""))
"""Settings of an installer whose cluster has no GPUs."""

SPEC: dict[str, Any] = {
    "source": {"uri": "s3://bucket/in"},
    "prompts": [{"name": "faq"}, {"name": "math"}],
    "model": {"name": "/models/tiny"},
    "output": {"uri": "s3://bucket/out"},
    "parallelism": 2,
}


def spec_of(**changes: Any) -> dict[str, Any]:
    """The spec of a job, with some fields set."""
    return SPEC | changes


def shard_report(shard: int, **changes: Any) -> ShardReport:
    """The report of a shard of ten documents that is done."""
    done: dict[str, Any] = {
        "shard": shard,
        "state": "done",
        "documents_planned": 10,
        "documents_done": 10,
        "samples_text": 20,
        "prompt_tokens": 400,
        "output_tokens": 1000,
        "generated_tokens": 1000,
    }
    return ShardReport(**(done | changes))


@dataclass
class World:
    """A RephraseJob and everything around it.

    `run` reconciles and carries out what is decided, as the shell would.
    """

    raw: dict[str, Any] = field(default_factory=spec_of)
    now: datetime = START
    settings: Settings = field(default_factory=Settings)
    library: dict[str, LibraryPrompt] = field(default_factory=lambda: dict(LIBRARY))
    status: RephraseJobStatus = field(default_factory=RephraseJobStatus)
    generation: int = 1
    jobs: dict[str, JobView] = field(default_factory=dict)
    pods: list[PodView] = field(default_factory=list)
    reports: dict[str, LiveReport] = field(default_factory=dict)
    config: ConfigView | None = None
    texts: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """ConfigMaps of the user's; None is binary data."""
    taken: frozenset[str] = frozenset()
    refused: str = ""
    events: list[Event] = field(default_factory=list)
    deleted: bool = False
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def job(self) -> JobObject:
        return JobObject(
            namespace="default",
            name="books",
            uid="uid-1",
            generation=self.generation,
            resource_version="1",
            created=START,
            deleting=False,
            spec=parse_spec(self.raw),
            problem="",
            status=self.status,
        )

    @property
    def shown(self) -> dict[str, Any]:
        """The RephraseJob as the API returns it."""
        meta = {"namespace": "default", "name": "books", "uid": "uid-1"}
        return {"metadata": meta, "spec": self.raw, "status": self.status.to_api()}

    @property
    def seen(self) -> Observed:
        return Observed(
            jobs=self.jobs,
            pods=tuple(self.pods),
            config=self.config,
            prompt_maps={} if self.config is not None else self.prompt_maps,
            reports=self.reports,
            taken=self.taken,
            refused=self.refused,
        )

    @property
    def prompt_maps(self) -> dict[str, PromptMap]:
        """The user's ConfigMaps. They are read only while the recipe is not there."""
        return {
            name: PromptMap(
                keys=frozenset(held), texts={key: text for key, text in held.items() if text is not None}
            )
            for name, held in self.texts.items()
        }

    def decide(self) -> Decision:
        return reconcile(self.job, self.seen, self.now, self.settings, self.library)

    def run(self, passes: int = 6) -> World:
        """Reconcile until nothing changes any more.

        The status goes through JSON, as it does in the API server.
        """
        for _ in range(passes):
            decided = self.decide()
            for action in decided.actions:
                self.carry_out(action)
            self.events += decided.events
            before = self.status
            self.status = RephraseJobStatus.model_validate(decided.status.to_api())
            if not decided.actions and before == self.status:
                break
        return self

    def carry_out(self, action: do.Action) -> None:
        match action:
            case do.CreateConfigMap(manifest):
                data = manifest["data"]
                self.config = ConfigView(
                    owner_uid="uid-1", recipe=data[RECIPE_FILE], engine=data[ENGINE_FILE]
                )
            case do.PatchConfigMap(_, data):
                assert self.config is not None
                self.config = replace(self.config, engine=data[ENGINE_FILE])
            case do.CreateJob(manifest):
                step = manifest["metadata"]["labels"]["rephrase.dev/step"]
                assert step not in self.jobs, "a Job is made twice"
                notes = manifest["metadata"].get("annotations", {})
                self.manifests[step] = manifest
                self.jobs[step] = JobView(
                    namespace="default",
                    name=manifest["metadata"]["name"],
                    uid=f"{step}-{self.now.timestamp()}",
                    job="books",
                    step=step,
                    owner_uid="uid-1",
                    suspended=manifest["spec"].get("suspend", False),
                    parallelism=manifest["spec"].get("parallelism", 1),
                    start_time=self.now,
                    workers_hash=notes.get(ANNOTATION_HASH, ""),
                    gpus=int(notes.get(ANNOTATION_GPUS, 0)),
                )
            case do.PatchJob(name, spec):
                step = name.rpartition("-")[2]
                changes: dict[str, Any] = dict(spec)
                if "suspend" in changes:
                    changes["suspended"] = changes.pop("suspend")
                self.jobs[step] = replace(self.jobs[step], **changes)
            case do.DeleteJob(name, uid):
                step = name.rpartition("-")[2]
                assert self.jobs.pop(step).uid == uid
                self.pods = [pod for pod in self.pods if pod.step != step]
            case do.DeleteRephraseJob():
                self.deleted = True

    def after(self, **span: float) -> World:
        """Let time pass."""
        self.now += timedelta(**span)
        return self

    def edit(self, **changes: Any) -> World:
        """Edit the spec."""
        self.raw = self.raw | changes
        self.generation += 1
        return self

    def pod(self, step: Step, name: str, **changes: Any) -> World:
        """Show a pod, or what has become of it."""
        known = next((pod for pod in self.pods if pod.name == name), None)
        if known is None:
            known = PodView(
                namespace="default",
                name=name,
                uid=name,
                job="books",
                job_uid="uid-1",
                step=step,
                created=self.now,
            )
            self.pods.append(known)
        self.pods[self.pods.index(known)] = replace(known, **changes)
        return self

    def running(self, shard: int, *, attempt: int = 1, **report: Any) -> World:
        """A worker runs and has answered."""
        name = f"shard-{shard}-{attempt}"
        self.pod(Step.GENERATE, name, index=shard, phase="Running", started=self.now)
        said = shard_report(shard, **({"state": "generating"} | report))
        self.reports[name] = LiveReport(report=said, at=self.now)
        return self

    def succeed(self, shard: int, *, attempt: int = 1, **report: Any) -> World:
        """A worker has finished its shard, and the Job controller has seen it."""
        name = f"shard-{shard}-{attempt}"
        self.pod(Step.GENERATE, name, index=shard)
        pod = next(pod for pod in self.pods if pod.name == name)
        message = shard_report(shard, **report).to_json()
        started = pod.started or self.now
        self.pod(
            Step.GENERATE,
            name,
            phase="Succeeded",
            exit_code=0,
            started=started,
            ended=self.now,
            termination=message,
        )
        return self.job_says(Step.GENERATE, succeeded=self.jobs["generate"].succeeded | Intervals([shard]))

    def fail_pod(
        self,
        shard: int,
        *,
        attempt: int = 1,
        node: str = "",
        exit_code: int | None = 69,
        reason: Reason | None = Reason.ENGINE_FAILED,
        disrupted: bool = False,
    ) -> World:
        """A worker has failed."""
        failure = Failure(reason=reason, message="out of memory") if reason else None
        report = shard_report(shard, state="failed", documents_done=4, samples_text=8, failure=failure)
        return self.pod(
            Step.GENERATE,
            f"shard-{shard}-{attempt}",
            index=shard,
            phase="Failed",
            node=node,
            exit_code=exit_code,
            ended=self.now,
            disrupted=disrupted,
            end_reason="Error",
            termination=report.to_json(),
        )

    def end_pod(self, shard: int, *, attempt: int = 1, exit_code: int = 69, **report: Any) -> World:
        """A worker has ended without success, with this report."""
        return self.pod(
            Step.GENERATE,
            f"shard-{shard}-{attempt}",
            index=shard,
            phase="Failed",
            exit_code=exit_code,
            ended=self.now,
            termination=shard_report(shard, **report).to_json(),
        )

    def job_says(self, step: Step, **changes: Any) -> World:
        """The Job controller has changed the Job's status."""
        if changes.get("complete") or changes.get("failed"):
            changes = {"ended": self.now} | changes
        self.jobs[step] = replace(self.jobs[step], **changes)
        return self

    def step_done(self, step: Step, report: Contract) -> World:
        """The pod of a step has reported and its Job is complete."""
        self.pod(step, step, phase="Succeeded", exit_code=0, ended=self.now, termination=report.to_json())
        return self.job_says(step, complete=True)

    def step_fails(self, step: Step, reason: Reason, message: str) -> World:
        """The pod of a step has failed for good."""
        kind = PlanReport if step is Step.PLAN else FinalReport
        report = kind(failure=Failure(reason=reason, message=message))
        self.pod(step, step, phase="Failed", exit_code=78, ended=self.now, termination=report.to_json())
        return self.job_says(
            step, failed=True, failed_reason="PodFailurePolicy", failed_message="exit code 78"
        )

    def planned(self, shards: int = 3, documents: int | None = None, **changes: Any) -> World:
        """Start, and plan: the Job of the workers has just been made."""
        given: dict[str, Any] = {
            "shards": shards,
            "documents": shards * 10 if documents is None else documents,
            "files": 2,
            "bytes": 100,
            "contract_version": CONTRACT_VERSION,
        }
        return self.run().step_done(Step.PLAN, PlanReport(**(given | changes))).run()

    def finalized(self, **report: Any) -> World:
        """The finalizer has added everything up."""
        given: dict[str, Any] = {
            "documents": 30,
            "samples_text": 60,
            "prompt_tokens": 1200,
            "output_tokens": 3000,
        }
        return self.step_done(Step.FINALIZE, FinalReport(**(given | report))).run()

    def mixed(self, shard: int, **report: Any) -> World:
        """A pod has finished a shard of the mix; with figures it has found all shards finished."""
        self.pod(
            Step.MIX,
            f"mix-{shard}",
            index=shard,
            phase="Succeeded",
            exit_code=0,
            ended=self.now,
            termination=MixReport(shard=shard, complete=bool(report), **report).to_json(),
        )
        return self.job_says(Step.MIX, succeeded=self.jobs[Step.MIX].succeeded | Intervals([shard])).run()

    def published(self, **report: Any) -> World:
        """The publisher has put everything on the Hub."""
        given: dict[str, Any] = {"repository": "me/data", "revision": "abc", "files": 9, "bytes": 100}
        return self.step_done(Step.PUBLISH, PublishReport(**(given | report))).run()

    @property
    def phase(self) -> Phase | None:
        return self.status.phase

    def reason(self, kind: str) -> str:
        """Status and reason of a condition, such as `False/UnknownPrompt`."""
        held = self.status.condition(kind)
        return f"{held.status}/{held.reason}" if held else "-"
