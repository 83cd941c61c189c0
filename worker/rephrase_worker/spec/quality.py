"""What a report says of the quality of one prompt's texts: the figures that are watched while a job runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rephrase_worker.spec.contract import Contract, Since

OPENING_CHARACTERS = 60
"""An opening is cut to this length in reports."""

REPORTED_OPENINGS = 8
"""Most openings of a prompt in a report; fewer where many prompts have to fit into a termination message."""


class PromptQuality(Contract):
    """Counts of one prompt's texts in a shard, or in a whole job. What is 0 is left out of the JSON."""

    samples: Annotated[int, Since(2)] = 0
    """Texts that are not blank."""
    structure_judged: Annotated[int, Since(2)] = 0
    """Texts that should have the prompt's structure: all of them, or none where the prompt has none."""
    structured: Annotated[int, Since(2)] = 0
    refusals: Annotated[int, Since(2)] = 0
    echoes: Annotated[int, Since(2)] = 0
    """Texts that repeat the instruction."""
    openings: Annotated[dict[str, int], Since(2)] = Field(default_factory=dict)
    """Texts by first sentence: the most frequent ones, and at least so many texts of each."""
