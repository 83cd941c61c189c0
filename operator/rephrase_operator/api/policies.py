"""The parts of a spec that decide when a job stops: one model for each policy of `reconcile`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rephrase_operator.api.cel import Rule, Spec


class FailurePolicy(Spec):
    """When to give up on a shard, and on the job."""

    max_attempts_per_shard: int = Field(
        default=4, ge=1, le=100, description="A shard is abandoned after this many failed attempts."
    )
    max_failed_shards: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="Stop generating if more shards than this have failed. Unset: every shard gets its turn.",
    )
    max_error_ratio: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description="Suspend the job if more than this share of its samples are errors. It goes on when "
        "maxErrorRatio is raised above the share reached. 1 turns the check off.",
    )
    min_documents: int = Field(
        default=1000, ge=1, le=10**9, description="maxErrorRatio is checked from this many documents on."
    )
    pending_deadline_seconds: int = Field(
        default=1800,
        ge=10,
        le=2_592_000,
        description="The job fails when no pod of it could start for this long: no such GPU, no such image.",
    )


class Cost(Spec):
    """What GPUs cost, and how much may be spent. May change at any time."""

    rules = (
        Rule(
            "has(self.gpuHourPrice) == has(self.currency)",
            "gpuHourPrice and currency belong together: a price needs a currency, such as USD",
            ".currency",
        ),
        Rule(
            "!has(self.maxCost) || has(self.gpuHourPrice)",
            "maxCost needs gpuHourPrice and currency: without a price nothing has a cost",
            ".maxCost",
        ),
    )

    gpu_hour_price: float | None = Field(
        default=None,
        ge=0.0,
        le=1_000_000.0,
        description="Price of a GPU for an hour; on CPUs, of a worker.",
    )
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", max_length=3)] | None = Field(
        default=None, description="Currency of the price, as three letters of ISO 4217, such as USD."
    )
    max_gpu_hours: float | None = Field(
        default=None,
        ge=0.0,
        le=1_000_000_000.0,
        description="Hold the job if its estimate (before it runs) or what it has spent is above this many "
        "GPU-hours; worker-hours on CPUs. It goes on when this is raised.",
    )
    max_cost: float | None = Field(
        default=None,
        ge=0.0,
        le=1_000_000_000_000.0,
        description="The same for the cost, in the currency.",
    )


class TemplateCollapse(Spec):
    """When a prompt's texts open too much alike, and what happens then."""

    max_share: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="Most of a prompt's texts, as a share, that may begin with the same first sentence. The "
        "Synthetic Data Playbook found 0.115 with a model whose data trained worse, and 0.003 with the best.",
    )
    min_samples: int = Field(
        default=1000, ge=1, le=10**9, description="A prompt is judged from this many texts on."
    )
    action: Literal["Warn", "Suspend"] = Field(
        default="Warn",
        description="Warn sets the condition Diverse to False. Suspend also suspends the job until maxShare "
        "is raised above the share reached, or action is Warn.",
    )


class QualityPolicy(Spec):
    """What is watched in the texts while the job runs."""

    template_collapse: TemplateCollapse = Field(
        default=TemplateCollapse(), description="Texts that open alike."
    )
