"""What would make a job cheaper: sentences with figures of this very job, and none where nothing would."""

from __future__ import annotations

from rephrase_worker.estimate.job import Estimate, Fleet
from rephrase_worker.spec import Statistics

_WORTH = 0.05
"""Savings below this share are not mentioned: they are within the noise."""


def advise(
    statistics: Statistics,
    found: Estimate,
    fleet: Fleet,
    *,
    prompts: int,
    max_tokens: int,
    fastest: int | None = None,
) -> list[str]:
    """The sentences, the most valuable first. `fastest` is the pace of the profile's fastest settings."""
    pace = fleet.tokens_per_second_per_gpu
    sentences: list[tuple[float, str]] = []
    if pace and fastest and 1 - pace / fastest > _WORTH:
        saved = 1 - pace / fastest
        text = f"engine.profile fastest: {saved:.0%} fewer GPU-hours, at the risk of running out of memory."
        sentences.append((saved, text))
    share = found.startup_share or 0.0
    if share > _WORTH:
        text = (
            f"Start-up is {share:.0%} of the GPU-hours: larger shards (sharding.documentsPerShard) start "
            "less often."
        )
        sentences.append((share, text))
    if statistics.cut > 4 * _WORTH:
        text = (
            f"{statistics.cut:.0%} of the outputs are expected to be cut off at sampling.maxTokens "
            f"({max_tokens}): they cost as much as whole ones. Raise it, or choose prompts that ask for less."
        )
        sentences.append((statistics.cut / 10, text))
    spared = _spared(statistics, prompts)
    if spared > 4 * _WORTH:
        text = (
            f"Each document is computed once for every prompt: with the document first in all prompts "
            f"(layout DocumentFirst), {spared:.0%} of the prompt tokens would come from the cache."
        )
        sentences.append((spared / 10, text))
    shards = sum(group.shards for group in statistics.shards)
    if fleet.parallelism > shards:
        text = (
            f"There are {shards} shards, so {fleet.parallelism - shards} of the {fleet.parallelism} workers "
            "would have nothing to do."
        )
        sentences.append((0.0, text))
    return [text for _, text in sorted(sentences, reverse=True)]


def _spared(statistics: Statistics, prompts: int) -> float:
    """Share of the prompt tokens that a common beginning of a document's prompts would spare."""
    possible = (prompts - 1) * statistics.document_tokens
    return max(0.0, possible - statistics.repeated_tokens) / max(1.0, statistics.prompt_tokens)
