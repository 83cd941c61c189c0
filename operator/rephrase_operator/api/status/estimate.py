"""The parts of the status that say what the job is expected to take, and what it has taken so far."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from rephrase_operator.api.status.part import Message, Part, Word


class Range(Part):
    """A figure, and the range that it is likely in."""

    low: float = Field(description="Likely more than this.")
    expected: float = Field(description="What is expected.")
    high: float = Field(description="Likely less than this.")


class EstimateStatus(Part):
    """What the job will take, from a sample of its documents and the pace of its engine."""

    summary: Word = Field(default="", description="GPU-hours and cost, or else tokens, for kubectl get.")
    documents: Range = Field(description="Documents of the source.")
    prompt_tokens: Range = Field(description="Tokens that the model will read.")
    output_tokens: Range = Field(description="Tokens that the model will write.")
    gpu_hours: Range | None = Field(
        default=None,
        description="GPU-hours, start-up included; worker-hours on CPUs. Absent where no pace is known.",
    )
    startup_share: float | None = Field(default=None, description="Share of start-up in these hours.")
    wall_seconds: Range | None = Field(
        default=None, description="Time at the present parallelism; absent when that is 0."
    )
    cost: Range | None = Field(default=None, description="GPU-hours times cost.gpuHourPrice.")
    currency: Word | None = Field(default=None, description="Currency of the cost.")
    assumptions: list[Message] = Field(
        default_factory=list, max_length=16, description="What these figures rest on."
    )
    cheaper: list[Message] = Field(
        default_factory=list, max_length=8, description="What would make the job cheaper."
    )
    asked: Word = Field(description="Hash of what this was computed from.")


class CostStatus(Part):
    """What the workers have taken so far: failed and preempted ones and start-up included."""

    gpu_hours: float = Field(default=0.0, description="GPU-hours; worker-hours on CPUs.")
    gpu_seconds: float = Field(default=0.0, description="The same in seconds, not rounded.")
    until: datetime = Field(description="Until when the pods' time is in these figures.")
    cost: float | None = Field(default=None, description="GPU-hours times cost.gpuHourPrice.")
    currency: Word | None = Field(default=None, description="Currency of the cost.")
