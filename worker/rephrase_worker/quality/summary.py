"""The part of the counts that goes into a report of the worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.spec import OPENING_CHARACTERS, REPORTED_OPENINGS, PromptQuality

_LOOKED_AT = 8 * REPORTED_OPENINGS
"""Openings that may become one when they are cut."""


def summaries(counts: Mapping[str, PromptCounts]) -> dict[str, PromptQuality]:
    """The summary of each prompt's counts."""
    return {name: _summary(each) for name, each in counts.items()}


def _summary(counts: PromptCounts) -> PromptQuality:
    openings: Counter[str] = Counter()
    for opening in counts.sentences.top(_LOOKED_AT):
        openings[opening.text[:OPENING_CHARACTERS]] += opening.count
    return PromptQuality(
        samples=counts.samples,
        structure_judged=counts.structure_judged,
        structured=counts.structured,
        refusals=counts.refusals,
        echoes=counts.echoes,
        openings=dict(openings.most_common(REPORTED_OPENINGS)),
    )
