"""The parts of a status that say how far a job is, and what its attempts and finished shards add up to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from rephrase_operator.api.status.part import Message, Part, Word, at_most
from rephrase_operator.api.status.quality import QualitySums
from rephrase_worker.spec import PROMPTS_LIMIT, SKIPPED_CHARACTERS

FAILURES_LIMIT = 64
"""Most shards in `status.failures`; those with the most attempts are kept."""

PODS_LIMIT = 16
"""Most pods in an entry of `status.failures`."""

ERROR_CODES_LIMIT = 31
"""Most codes in `status.progress.errors` beside `other`; the first ones are kept."""

INTERVALS_LIMIT = 524_288
"""Length of a set of shards as intervals. A plan has at most 100,000 shards, and the worst set of them
(pairs with gaps of one between them, 12 characters for three shards) takes 400,000 characters.
"""

ENDED_LIMIT = 262_144
"""Length of `status.attempts.ended`: about 17 characters for each open shard with a pod that ended.
Kubernetes starts the lowest indexes first, so at most as many shards are open as there can be workers
(10,000).
"""

REASONS_LIMIT = 31
"""Most reasons in `status.attempts.reasons` beside `other`; the first ones are kept."""

NODES_LIMIT = 32
"""Most nodes in `status.attempts.nodes` beside `other`; the first ones are kept."""


class PlanSummary(Part):
    """What planning found."""

    shards: int = Field(description="Shards of the job; one worker pod each.")
    documents: int = Field(description="Documents of the source.")
    documents_exact: bool = Field(default=True, description="False: documents is an estimate.")
    skipped_files: int = Field(
        default=0, description="Number of files and folders below the source that are not read as documents."
    )
    skipped: Annotated[str, at_most(SKIPPED_CHARACTERS)] | None = Field(
        default=None,
        description="The first of them, with the reasons. The plan at the destination lists all of them.",
    )
    files: int = Field(default=0, description="Files of the source.")
    bytes: int = Field(default=0, description="Size of the source in bytes.")
    model_revision: Word | None = Field(default=None, description="Commit that the model is pinned to.")
    weights_bytes: int | None = Field(
        default=None, description="Size of the model's weights, where planning could see it."
    )
    suffix_speculation: bool = Field(
        default=False, description="Whether the worker's image has suffix speculation (arctic-inference)."
    )
    model_asked: Annotated[str, at_most(SKIPPED_CHARACTERS)] | None = Field(
        default=None, description="How the model is asked, and what is taken of its answers."
    )
    source_revision: Word | None = Field(default=None, description="Commit that the source is pinned to.")
    statistics: Annotated[str, at_most(2048)] | None = Field(
        default=None,
        description="What planning measured of the documents, as JSON: what the estimate is made from.",
    )


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
    samples_filtered: int = Field(
        default=0,
        description="Outputs that were left out because they don't have their prompt's structure; until the "
        "dataset is finalized they are among those with text.",
    )
    prompt_tokens: int = Field(default=0, description="Tokens read by the model.")
    cached_prompt_tokens: int = Field(
        default=0, description="Of those, tokens that came from the prefix cache."
    )
    output_tokens: int = Field(default=0, description="Tokens written by the model.")
    errors: dict[str, int] = Field(
        default_factory=dict,
        max_length=ERROR_CODES_LIMIT + 1,
        description=f"Outputs in error by code: the first {ERROR_CODES_LIMIT} codes, and `other`.",
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
    pending_workers: int = Field(default=0, description="Worker pods that don't run yet.")
    gpus: int = Field(default=0, description="GPUs that the running workers hold; 0 on CPUs.")


class Counted(Part):
    """The counts as Prometheus gets them once the dataset is finalized: exact, or what the workers had
    reported where that is more.

    It can be more: a killed worker's last samples were made again, and outputs that are left out of the
    dataset have cost tokens. A counter that falls would be taken for one that started again from zero.
    """

    documents: int = Field(default=0, description="Documents.")
    samples_text: int = Field(default=0, description="Outputs with text, those that were left out included.")
    samples_error: int = Field(default=0, description="Outputs in error.")
    prompt_tokens: int = Field(default=0, description="Prompt tokens.")
    cached_prompt_tokens: int = Field(default=0, description="Cached prompt tokens.")
    output_tokens: int = Field(default=0, description="Output tokens.")


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

    shards: Annotated[str, at_most(INTERVALS_LIMIT)] = Field(
        default="", description="The shards that are in these sums, as intervals such as 0-41,43."
    )
    documents: int = Field(default=0, description="Documents.")
    samples_text: int = Field(default=0, description="Outputs with text.")
    samples_error: int = Field(default=0, description="Outputs in error.")
    prompt_tokens: int = Field(default=0, description="Prompt tokens.")
    cached_prompt_tokens: int = Field(default=0, description="Cached prompt tokens.")
    output_tokens: int = Field(default=0, description="Output tokens.")
    errors: dict[str, int] = Field(
        default_factory=dict,
        max_length=ERROR_CODES_LIMIT + 1,
        description=f"Outputs in error by code: the first {ERROR_CODES_LIMIT} codes, and `other`.",
    )
    generated_tokens: int = Field(
        default=0,
        description="Output tokens that the pods seen to end have generated themselves: for rates. "
        "What a shard's earlier pods had committed is theirs.",
    )
    worker_seconds: float = Field(
        default=0.0, description="Time that these pods ran, whether they finished their shard or not."
    )
    quality: dict[str, QualitySums] = Field(
        default_factory=dict, max_length=PROMPTS_LIMIT, description="What the texts are like, by prompt."
    )


class ShardAttempts(Part):
    """Attempts at shards that have ended without success, each counted once."""

    job: Word = Field(default="", description="UID of the Job whose pods are counted.")
    engine: Word = Field(
        default="", description="Hash of the engine's settings that the attempts were made with."
    )
    ended: Annotated[str, at_most(ENDED_LIMIT)] = Field(
        default="",
        description="By open shard: attempts that failed, and the time (Unix, hexadecimal) at which its last "
        "pod ended, such as 7:2@6957a3c0. Times after which several pods ended carry their number: *2.",
    )
    abandoned: Annotated[str, at_most(INTERVALS_LIMIT)] = Field(
        default="", description="Shards that Kubernetes has failed for good, as intervals."
    )
    failed: int = Field(default=0, description="Failed attempts of the whole job; never reset.")
    reasons: dict[str, int] = Field(
        default_factory=dict,
        max_length=REASONS_LIMIT + 1,
        description=f"The same by reason: the first {REASONS_LIMIT} reasons, and `other`.",
    )
    nodes: dict[str, int] = Field(
        default_factory=dict,
        max_length=NODES_LIMIT + 1,
        description=f"The same by node: the first {NODES_LIMIT} nodes, and `other`.",
    )


class Generating(Part):
    """How long the job has been generating: with at least one worker running, suspensions left out."""

    since: datetime | None = Field(
        default=None, description="Start of the current stretch; unset between stretches."
    )
    seconds: float = Field(default=0.0, description="Length of the earlier stretches.")
