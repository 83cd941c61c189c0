"""The status of a RephraseJob as a whole."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Annotated, Any

from pydantic import Field

from rephrase_operator.api.bounds import bounded
from rephrase_operator.api.status.dataset import DatasetSummary
from rephrase_operator.api.status.engine import EngineStatus
from rephrase_operator.api.status.estimate import CostStatus, EstimateStatus
from rephrase_operator.api.status.mix import MixStatus
from rephrase_operator.api.status.part import Condition, Message, Part, Phase, Word, at_most, kept_as_it_is
from rephrase_operator.api.status.progress import (
    FAILURES_LIMIT,
    Counted,
    FinishedShards,
    Generating,
    PlanSummary,
    Progress,
    ShardAttempts,
    ShardFailure,
    Shards,
)
from rephrase_operator.api.status.published import Published
from rephrase_operator.api.status.quality import Collapse, PromptTexts
from rephrase_worker.spec import PROMPTS_LIMIT


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
    worker_image: Annotated[str, at_most(1024)] | None = Field(
        default=None, description="Image of the job's pods, which a job keeps to its end."
    )
    pod_defaults: Annotated[dict[str, Any], kept_as_it_is] | None = Field(
        default=None,
        description="The installer's settings of the job's pods, which a job keeps to its end.",
    )
    contract_version: int = Field(
        default=1,
        description="Version of the contract between operator and worker that this image speaks: the "
        "operator's own, until the plan says.",
    )
    engine: EngineStatus | None = Field(
        default=None,
        description="The engine's settings with the model's profile, and what is expected of them.",
    )
    estimate: EstimateStatus | None = Field(default=None, description="What the job is expected to take.")
    cost: CostStatus | None = Field(default=None, description="What the job has taken so far.")
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
    counted: Counted | None = Field(
        default=None, description="The job's counters in Prometheus, which must not fall at its end."
    )
    dataset: DatasetSummary | None = Field(default=None, description="What finalizing added up.")
    mix: MixStatus | None = Field(default=None, description="How far mixing is, and what it came to.")
    published: Published | None = Field(default=None, description="What publishing put on the Hub.")
    quality: dict[str, PromptTexts] = Field(
        default_factory=dict,
        max_length=PROMPTS_LIMIT,
        description="What the texts are like, by prompt: committed ones while the job runs, all of them at "
        "its end.",
    )
    collapse_reached: Collapse | None = Field(
        default=None, description="What stopped the job by quality.templateCollapse."
    )
    error_ratio_reached: float | None = Field(
        default=None, description="The share of errors at which failurePolicy.maxErrorRatio stopped the job."
    )
    replicas: int = Field(default=0, description="Number of worker pods, for the scale subresource.")
    selector: Annotated[str, at_most(512)] | None = Field(
        default=None, description="Label selector of the worker pods, for the scale subresource."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Accepted, Planned, WorkersReady, WorkersCurrent, WithinErrorBudget, "
        "Diverse, WithinBudget, Complete, Failed.",
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
