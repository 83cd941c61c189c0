"""What a job's texts are like, summed over its shards.

A shard reports its most frequent openings and no more, so a sum over shards is at least so many, and exact
where an opening is among the most frequent of every shard: as one that matters is. Finalizing gives exact
figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rephrase_operator.api.status import SUMMED_OPENINGS, PromptTexts, QualitySums
from rephrase_worker.spec import PROMPTS_LIMIT, PromptQuality

Quality = Mapping[str, PromptQuality | QualitySums]
"""By prompt: one shard's as it is reported, or sums of several."""

_COUNTS = ("samples", "structure_judged", "structured", "refusals", "echoes")


def add(parts: Iterable[Quality]) -> dict[str, QualitySums]:
    """The sums of several shards or sums."""
    counts: dict[str, Counter[str]] = {}
    openings: dict[str, Counter[str]] = {}
    for part in parts:
        for prompt, quality in part.items():
            counts.setdefault(prompt, Counter()).update({name: getattr(quality, name) for name in _COUNTS})
            openings.setdefault(prompt, Counter()).update(quality.openings)
    return {
        prompt: QualitySums(**sums, openings=dict(openings[prompt].most_common(SUMMED_OPENINGS)))
        for prompt, sums in list(counts.items())[:PROMPTS_LIMIT]
    }


def shown(sums: Quality) -> dict[str, PromptTexts]:
    """The sums as rates, for people and for the policy."""
    return {prompt: _texts(quality) for prompt, quality in sums.items()}


def _texts(quality: PromptQuality | QualitySums) -> PromptTexts:
    samples = max(quality.samples, 1)
    opening, count = max(quality.openings.items(), key=lambda item: item[1], default=(None, 0))
    judged = quality.structure_judged
    return PromptTexts(
        samples=quality.samples,
        structure_rate=round(quality.structured / judged, 4) if judged else None,
        top_opening=opening,
        top_opening_share=round(count / samples, 6),
        refusal_rate=round(quality.refusals / samples, 6),
        echo_rate=round(quality.echoes / samples, 6),
    )
