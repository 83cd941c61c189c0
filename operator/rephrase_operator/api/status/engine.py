"""The part of the status that says what the engine's settings are, and what is expected of them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator
from pydantic.alias_generators import to_camel

from rephrase_operator.api.status.part import Message, Part, Word
from rephrase_worker.spec import EngineSettings


class EngineStatus(Part):
    """What spec.engine and its profile were resolved to. Kept until what was asked for changes."""

    profile: Word = Field(
        description="The profile that was applied, such as qwen3-8b/production; baseline for a model without "
        "one; none where no profile applies."
    )
    gpu: Word = Field(description="The GPU that the settings are for, or CPU.")
    tokens_per_second_per_gpu: int | None = Field(
        default=None,
        description="Output tokens per second and GPU that are expected, start-up left out; absent where "
        "nothing can be expected.",
    )
    figure: Word = Field(
        default="none",
        description="How that is known: measured (with these settings on this GPU), assumed, scaled (from "
        "another GPU), or none.",
    )
    settings: EngineSettings = Field(description="The settings that workers get, with vLLM's names.")
    reason: Word = Field(
        description="ProfileApplied, or what keeps the workers from the speed of a profile: the reason of "
        "the condition ProfileApplied."
    )
    why: Message = Field(description="Why these, in sentences: what was assumed, scaled or left out.")
    asked: Word = Field(description="Hash of what these settings were resolved from.")

    @field_validator("settings", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """A newer operator may have written settings that this one does not know."""
        if not isinstance(value, dict):
            return value
        known = {name for field in EngineSettings.model_fields for name in (field, to_camel(field))}
        return {name: inner for name, inner in value.items() if name in known}
