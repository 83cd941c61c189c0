"""What the operator reports: the status of a RephraseJob.

Only the operator writes it, through the status subresource. Everything that has to survive a restart of the
operator is in it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from rephrase_operator.api.bounds import bounded
from rephrase_worker.spec import SKIPPED_CHARACTERS


def _at_most(length: int) -> WithJsonSchema:
    """A limit that the API server checks. Building a status ignores it; `to_api` cuts what is too long."""
    return WithJsonSchema({"type": "string", "maxLength": length})


Message = Annotated[str, _at_most(4096)]
Word = Annotated[str, _at_most(256)]

FAILURES_LIMIT = 64
"""Most shards in `status.failures`; those with the most attempts are kept."""

PODS_LIMIT = 16
"""Most pods in an entry of `status.failures`."""

ERROR_CODES_LIMIT = 32
"""Most codes in `status.progress.errors`; the most frequent are kept."""

INTERVALS_LIMIT = 524_288
"""Length of a set of shards as intervals. A plan has at most 100,000 shards, and the worst set of them
(pairs with gaps of one between them, 12 characters for three shards) takes 400,000 characters.
"""

ENDED_LIMIT = 262_144
"""Length of `status.attempts.ended`: about 17 characters for each open shard with a pod that ended.
Kubernetes starts the lowest indexes first, so at most as many shards are open as there can be workers
(10,000).
"""

REASONS_LIMIT = 32
"""Most reasons in `status.attempts.reasons`; the most frequent are kept."""


class Phase(StrEnum):
    """The phase of a job. Succeeded and Failed are final."""

    PENDING = "Pending"
    PLANNING = "Planning"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    FINALIZING = "Finalizing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def final(self) -> bool:
        """True if nothing will happen any more."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class Part(BaseModel):
    """Base of the models of a status. Unknown fields are dropped: a newer operator may have written them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Condition(Part):
    """One aspect of the job's state, as the Kubernetes API conventions describe conditions."""

    type: Word = Field(description="Name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Word = Field(description="One word for programs.")
    message: Message = Field(description="A sentence for people, with what to do next.")
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the condition is about."
    )
    last_transition_time: datetime = Field(description="When status last changed.")


class PlanSummary(Part):
    """What planning found."""

    shards: int = Field(description="Shards of the job; one worker pod each.")
    documents: int = Field(description="Documents of the source.")
    documents_exact: bool = Field(default=True, description="False: documents is an estimate.")
    skipped_files: int = Field(
        default=0, description="Number of files and folders below the source that are not read as documents."
    )
    skipped: Annotated[str, _at_most(SKIPPED_CHARACTERS)] | None = Field(
        default=None,
        description="The first of them, with the reasons. The plan at the destination lists all of them.",
    )
    files: int = Field(default=0, description="Files of the source.")
    bytes: int = Field(default=0, description="Size of the source in bytes.")
    model_revision: Word | None = Field(default=None, description="Commit that the model is pinned to.")
    source_revision: Word | None = Field(default=None, description="Commit that the source is pinned to.")


class Shards(Part):
    """Shards by state."""

    total: int = Field(default=0, description="All of them.")
    succeeded: int = Field(default=0, description="Complete at the destination.")
    failed: int = Field(
        default=0, description="Abandoned, because all their attempts failed or their data can't be read."
    )
    running: int = Field(default=0, description="With a worker that runs.")
    pending: int = Field(default=0, description="Waiting for a worker.")
    summary: Word = Field(default="", description="succeeded/total, for kubectl get.")


class Progress(Part):
    """How far the job is. Counts never fall while it runs, and are exact when it has ended."""

    documents: int = Field(default=0, description="Documents rephrased with every prompt.")
    documents_planned: int = Field(default=0, description="Documents of the source.")
    samples_planned: int = Field(default=0, description="Documents x prompts x rollouts.")
    samples_text: int = Field(default=0, description="Outputs with text.")
    samples_error: int = Field(default=0, description="Outputs that are an error instead.")
    prompt_tokens: int = Field(default=0, description="Tokens read by the model.")
    cached_prompt_tokens: int = Field(
        default=0, description="Of those, tokens that came from the prefix cache."
    )
    output_tokens: int = Field(default=0, description="Tokens written by the model.")
    errors: dict[str, int] = Field(
        default_factory=dict, max_length=ERROR_CODES_LIMIT, description="Outputs in error by code."
    )
    ratio: float = Field(default=0.0, description="Share of the samples that are finished, 0 to 1.")
    percent: Word = Field(default="", description="The ratio as a percentage, for kubectl get.")
    tokens_per_second: float | None = Field(
        default=None,
        description="Output tokens per second of all running workers; "
        "when the job has ended, the mean over the time that it generated.",
    )
    tokens_per_second_per_gpu: float | None = Field(
        default=None, description="The same per GPU; absent on CPUs."
    )
    eta: Word | None = Field(
        default=None, description="Time left at the mean pace of the workers, for people."
    )
    eta_seconds: int | None = Field(
        default=None, description="Time left at the mean pace of the workers, in seconds."
    )
    workers: int = Field(default=0, description="Workers that are running.")


class ShardFailure(Part):
    """A shard whose worker failed, and why it failed the last time."""

    shard: int = Field(description="Number of the shard.")
    attempts: int = Field(description="Failed attempts, counted across suspensions.")
    failed: bool = Field(default=False, description="True if the shard is abandoned.")
    reason: Word = Field(description="Reason of the last failure.")
    message: Message = Field(description="The worker's message.")
    time: datetime = Field(description="When the last attempt ended.")
    pods: list[Word] = Field(
        default_factory=list,
        max_length=PODS_LIMIT,
        description="Pods of the last attempts; their logs say more.",
    )


class FinishedShards(Part):
    """Sums over finished shards whose worker's report was read. Each shard, and each pod, is added once."""

    shards: Annotated[str, _at_most(INTERVALS_LIMIT)] = Field(
        default="", description="The shards that are in these sums, as intervals such as 0-41,43."
    )
    documents: int = Field(default=0, description="Documents.")
    samples_text: int = Field(default=0, description="Outputs with text.")
    samples_error: int = Field(default=0, description="Outputs in error.")
    prompt_tokens: int = Field(default=0, description="Prompt tokens.")
    cached_prompt_tokens: int = Field(default=0, description="Cached prompt tokens.")
    output_tokens: int = Field(default=0, description="Output tokens.")
    errors: dict[str, int] = Field(
        default_factory=dict, max_length=ERROR_CODES_LIMIT, description="Outputs in error by code."
    )
    generated_tokens: int = Field(
        default=0,
        description="Output tokens that the pods seen to end have generated themselves: for rates. "
        "What a shard's earlier pods had committed is theirs.",
    )
    worker_seconds: float = Field(
        default=0.0, description="Time that these pods ran, whether they finished their shard or not."
    )


class ShardAttempts(Part):
    """Attempts at shards that have ended without success, each counted once."""

    job: Word = Field(default="", description="UID of the Job whose pods are counted.")
    engine: Word = Field(
        default="", description="Hash of the engine's settings that the attempts were made with."
    )
    ended: Annotated[str, _at_most(ENDED_LIMIT)] = Field(
        default="",
        description="By open shard: attempts that failed, and the time (Unix, hexadecimal) at which its last "
        "pod ended, such as 7:2@6957a3c0. Times after which several pods ended carry their number: *2.",
    )
    abandoned: Annotated[str, _at_most(INTERVALS_LIMIT)] = Field(
        default="", description="Shards that Kubernetes has failed for good, as intervals."
    )
    failed: int = Field(default=0, description="Failed attempts of the whole job; never reset.")
    reasons: dict[str, int] = Field(
        default_factory=dict, max_length=REASONS_LIMIT, description="The same by reason."
    )


class Generating(Part):
    """How long the job has been generating: with at least one worker running, suspensions left out."""

    since: datetime | None = Field(
        default=None, description="Start of the current stretch; unset between stretches."
    )
    seconds: float = Field(default=0.0, description="Length of the earlier stretches.")


class RephraseJobStatus(Part):
    """The state of the job."""

    phase: Phase | None = Field(default=None, description="The phase of the job.")
    message: Message | None = Field(default=None, description="The state of the job in one sentence.")
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that the status is about."
    )
    start_time: datetime | None = Field(
        default=None, description="When planning began. From then on the recipe can't change."
    )
    completion_time: datetime | None = Field(default=None, description="When the job succeeded or failed.")
    worker_image: Annotated[str, _at_most(1024)] | None = Field(
        default=None, description="Image of the job's pods, which a job keeps to its end."
    )
    contract_version: int = Field(
        default=1,
        description="Version of the contract between operator and worker that this image speaks: the "
        "operator's own, until the plan says.",
    )
    recipe_hash: Word | None = Field(default=None, description="Hash of the frozen recipe.")
    plan: PlanSummary | None = Field(default=None, description="What planning found.")
    progress: Progress | None = Field(default=None, description="How far the job is.")
    shards: Shards | None = Field(default=None, description="Shards by state.")
    failures: list[ShardFailure] = Field(
        default_factory=list, max_length=FAILURES_LIMIT, description="Shards whose worker failed."
    )
    attempts: ShardAttempts | None = Field(
        default=None, description="Attempts at shards that have ended without success."
    )
    account: FinishedShards | None = Field(default=None, description="Sums over the finished shards.")
    generating: Generating | None = Field(default=None, description="How long the job has been generating.")
    nothing_runs_since: datetime | None = Field(
        default=None,
        description="Since when no pod of the present step runs although one should: "
        "failurePolicy.pendingDeadlineSeconds counts from here.",
    )
    generated: bool = Field(default=False, description="Every shard is complete or abandoned.")
    error_ratio_reached: float | None = Field(
        default=None, description="The share of errors at which failurePolicy.maxErrorRatio stopped the job."
    )
    replicas: int = Field(default=0, description="Number of worker pods, for the scale subresource.")
    selector: Annotated[str, _at_most(512)] | None = Field(
        default=None, description="Label selector of the worker pods, for the scale subresource."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Accepted, Planned, WorkersReady, WorkersCurrent, WithinErrorBudget, Complete, Failed.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type, if it was ever set."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    def to_api(self) -> dict[str, Any]:
        """The JSON form as the API server accepts it: what is unset is left out, what is too long is cut."""
        schema = _schema()
        written = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        found: dict[str, Any] = bounded(written, schema, schema["$defs"])
        return found


@cache
def _schema() -> dict[str, Any]:
    return RephraseJobStatus.model_json_schema(by_alias=True)


def parse_status(raw: dict[str, Any] | None) -> RephraseJobStatus:
    """The status of an object as the API server returns it, empty when there is none."""
    return RephraseJobStatus.model_validate(raw or {})
