"""The parts of a status that say what a job's texts are like."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rephrase_operator.api.status.part import Part, Word, at_most

SUMMED_OPENINGS = 16
"""Most openings of a prompt that are summed over its shards; the most frequent are kept."""


class QualitySums(Part):
    """Counts of one prompt's texts, over finished shards."""

    samples: int = Field(default=0, description="Texts that are not blank.")
    structure_judged: int = Field(default=0, description="Texts that should have a structure.")
    structured: int = Field(default=0, description="Texts that have it.")
    refusals: int = Field(default=0, description="Texts in which the model refuses.")
    echoes: int = Field(default=0, description="Texts that repeat the instruction.")
    openings: dict[str, int] = Field(
        default_factory=dict,
        max_length=SUMMED_OPENINGS,
        description="Texts by first sentence, the most frequent ones. There may be more of each: a shard "
        "reports only its own most frequent ones.",
    )


class PromptTexts(Part):
    """What the texts of one prompt are like."""

    samples: int = Field(default=0, description="Texts that are not blank.")
    structure_rate: float | None = Field(
        default=None, description="Share of the texts that have the prompt's structure, 0 to 1."
    )
    top_opening: Word | None = Field(default=None, description="The most frequent first sentence.")
    top_opening_share: float = Field(
        default=0.0, description="Share of the texts that begin with it, 0 to 1: at least so many."
    )
    refusal_rate: float = Field(default=0.0, description="Share of the texts in which the model refuses.")
    echo_rate: float = Field(default=0.0, description="Share of the texts that repeat the instruction.")


class Collapse(Part):
    """A prompt whose texts open alike, which has stopped the job."""

    prompt: Word = Field(description="The prompt.")
    opening: Annotated[str, at_most(256)] = Field(description="The opening.")
    share: float = Field(description="Share of the prompt's texts that begin with it.")
