"""What all parts of a status have in common."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel


def at_most(length: int) -> WithJsonSchema:
    """A limit that the API server checks. Building a status ignores it; `to_api` cuts what is too long."""
    return WithJsonSchema({"type": "string", "maxLength": length})


kept_as_it_is = WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
"""An object of which the API server checks nothing."""

Message = Annotated[str, at_most(4096)]
Word = Annotated[str, at_most(256)]


class Phase(StrEnum):
    """The phase of a job. Succeeded and Failed are final."""

    PENDING = "Pending"
    PLANNING = "Planning"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    FINALIZING = "Finalizing"
    MIXING = "Mixing"
    PUBLISHING = "Publishing"
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
