"""What a worker reports: `/progress`, and the termination message of each command."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rephrase_worker.spec.contract import Contract, Since
from rephrase_worker.spec.failures import Failure
from rephrase_worker.spec.mix import MixReport
from rephrase_worker.spec.quality import PromptQuality
from rephrase_worker.spec.statistics import Statistics

PROGRESS_LIMIT_BYTES = 64 * 1024
TERMINATION_LIMIT_BYTES = 2 * 1024
"""Most that the operator reads of `/progress`, and most that a worker writes as termination message."""

SKIPPED_CHARACTERS = 300
"""Most that a plan's report says of what was passed over."""


class PlanReport(Contract):
    """Termination message of `rephrase-worker plan`."""

    kind: Literal["plan"] = "plan"
    shards: int = 0
    documents: int = 0
    """Exact for parquet, and for text files small enough to be read whole; an estimate otherwise."""
    documents_exact: bool = True
    files: int = 0
    bytes: int = 0
    model_revision: str | None = None
    model_asked: str | None = None
    """How the model is asked and what is taken of its answers, for people."""
    source_revision: str | None = None
    skipped_files: int = 0
    """Files and whole folders below the source that are not read."""
    skipped: str | None = None
    """The first of them with the reasons, in at most `SKIPPED_CHARACTERS`."""
    weights_bytes: int | None = None
    """Size of the model's weights as vLLM loads them by itself; None where planning can't see it."""
    suffix_speculation: bool = False
    """Whether this image has what vLLM needs for suffix speculation."""
    contract_version: int = 1
    """CONTRACT_VERSION of the worker: what the operator may write to it from now on."""
    statistics: Statistics | None = None
    """Of a sample of the documents: what the estimate is made from."""
    failure: Failure | None = None


class ShardReport(Contract):
    """`/progress` of a worker and its termination message: the account of one shard up to now.

    Counts of documents, samples and tokens cover the whole shard, what earlier pods committed included.
    `tokens_per_second`, `engine_seconds`, `generated_tokens`, `commits`, `commit_failures` and
    `startup_seconds` are this process's own in every state: in the report of a shard that is done too, where
    a pod that only merged, or found the shard finished, has 0 of them.
    """

    kind: Literal["shard"] = "shard"
    shard: int
    pod_uid: str = ""
    state: Literal["starting", "generating", "merging", "done", "failed"] = "starting"
    step: str = ""
    documents_planned: int = 0
    documents_done: int = 0
    samples_text: int = 0
    """Texts of the model. Those that merging leaves out for want of a structure are among them, in the report
    of a shard that is done too: counts never fall. The final report says how many these are."""
    samples_empty: int = 0
    """Of `samples_text`: the model answered with nothing, or with white space only."""
    samples_error: int = 0
    errors: dict[str, int] = Field(default_factory=dict)
    """Samples in error by code, the 16 most frequent."""
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    output_tokens: int = 0
    tokens_per_second: float = 0.0
    """Output tokens per second of the engine over the last half minute (less at the start)."""
    in_flight: int = 0
    commits: int = 0
    commit_failures: int = 0
    """Attempts of this process at writing to the destination that failed. Each is tried again."""
    engine_seconds: float = 0.0
    """Seconds from when this process's engine was ready until it was closed, or until now."""
    generated_tokens: int = 0
    """Output tokens of this process in these seconds, of unfinished requests too. Divided by
    `engine_seconds`: its mean pace. Never divide `output_tokens` by them, which earlier pods made too."""
    startup_seconds: dict[str, float] = Field(default_factory=dict)
    """Seconds by step: import, resume, engine."""
    quality: Annotated[dict[str, PromptQuality], Since(2)] = Field(default_factory=dict)
    """Of committed samples, by prompt. A prompt is left out where its figures don't fit."""
    failure: Failure | None = None


class FinalReport(Contract):
    """Termination message of `rephrase-worker finalize`."""

    kind: Literal["final"] = "final"
    documents: int = 0
    samples_text: int = 0
    samples_empty: int = 0
    """Of `samples_text`: the model answered with nothing, or with white space only."""
    samples_error: int = 0
    samples_filtered: Annotated[int, Since(2)] = 0
    """Texts that are left out of the dataset because they don't have their prompt's structure."""
    samples_missing: int = 0
    """Only in shards that failed."""
    missing_shards: int = 0
    """Shards that failed, or never ran."""
    missing_shard_numbers: str = ""
    """Which these are, as intervals (`0-41,43`); cut, with `...` at the end, where they are very many."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    """Of the texts that are in the dataset."""
    filtered_output_tokens: Annotated[int, Since(2)] = 0
    """Of those that were left out."""
    mix_shards: int = 0
    """Shards of the mix, if the recipe asks for one and the dataset is complete. 0: nothing can be mixed."""
    quality: Annotated[dict[str, PromptQuality], Since(2)] = Field(default_factory=dict)
    """Of the whole dataset, by prompt. A prompt is left out where its figures don't fit."""
    failure: Failure | None = None


class PublishReport(Contract):
    """Termination message of `rephrase-worker publish`."""

    kind: Literal["publish"] = "publish"
    repository: str = ""
    revision: str | None = None
    """Commit that holds the whole dataset."""
    files: int = 0
    """Files of the dataset in the repository."""
    bytes: int = 0
    commits: int = 0
    """Commits that this process made: 0 when everything was there."""
    failure: Failure | None = None


Report = PlanReport | ShardReport | FinalReport | MixReport | PublishReport
"""What a command leaves as its termination message."""
