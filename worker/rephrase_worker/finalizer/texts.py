"""The quality figures as tables and plots: openings, lengths, structure, and what goes wrong in texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rephrase_worker.finalizer.figures import compact, number, share
from rephrase_worker.finalizer.plots import columns
from rephrase_worker.finalizer.speed import Picture, Row
from rephrase_worker.quality.report import Lengths, OpeningMeasure, PromptReport, QualityReport

OPENINGS = 5
"""Openings of each measure and prompt that the report shows."""

HEADINGS = (
    "Prompt",
    "Structure",
    "Looping",
    "Refusals",
    "Echoes",
    "Other language",
    "Most frequent opening",
    "Distinct word pairs",
    "Compression",
)
STRUCTURE_HEADINGS = ("Prompt", "Structure", "Texts that have it", "Share")
MEASURES: dict[OpeningMeasure, str] = {
    "firstSentence": "First sentence",
    "first30Characters": "First 30 characters",
    "first10Characters": "First 10 characters",
}
_LABELS = 5


@dataclass(frozen=True)
class Openings:
    """The most frequent openings of one prompt by one measure."""

    measure: str
    rows: list[Row]
    """Opening, texts, share; the bar is the share of all texts."""


def table(quality: QualityReport) -> list[tuple[str, ...]]:
    """A row of cells for each prompt, in the order of `HEADINGS`."""
    return [_row(name, prompt) for name, prompt in quality.prompts.items()]


def openings(prompt: PromptReport) -> list[Openings]:
    """The most frequent openings by each measure, as far as they are those of more than one text."""
    found = (
        Openings(
            words,
            [
                Row((top.text, number(top.count), share(top.count, prompt.samples)), f"{top.share:.2%}")
                for top in prompt.openings.get(measure, [])[:OPENINGS]
                if top.count > 1
            ],
        )
        for measure, words in MEASURES.items()
    )
    return [each for each in found if each.rows]


def structure(quality: QualityReport) -> list[Row]:
    """A row for each prompt that a checker belongs to, in the order of `STRUCTURE_HEADINGS`."""
    return [
        Row(
            (
                name,
                prompt.structure or "",
                number(prompt.structured),
                share(prompt.structured, prompt.structure_judged),
            ),
            f"{prompt.structure_rate:.1%}",
        )
        for name, prompt in quality.prompts.items()
        if prompt.structure_rate is not None
    ]


def lengths(name: str, prompt: PromptReport) -> list[Picture]:
    """Lengths of a prompt's outputs and inputs."""
    return [
        _histogram(f"{name}: {what} tokens", figures)
        for what, figures in (("output", prompt.output_tokens), ("input", prompt.prompt_tokens))
        if any(figures.counts)
    ]


def note(quality: QualityReport) -> str | None:
    """What the figures do not cover."""
    if not quality.uncounted_shards:
        return None
    return (
        f"{number(quality.uncounted_shards)} of {number(quality.shards + quality.uncounted_shards)} finished "
        "shards were made by a version that did not measure texts, and are in none of these figures."
    )


def _row(name: str, prompt: PromptReport) -> tuple[str, ...]:
    tops = prompt.openings.get("firstSentence", [])
    return (
        name,
        share(prompt.structured, prompt.structure_judged),
        share(prompt.looping, prompt.samples),
        share(prompt.refusals, prompt.samples),
        share(prompt.echoes, prompt.samples),
        share(prompt.language_differs, prompt.language_judged),
        share(tops[0].count, prompt.samples) if tops else "-",
        f"{prompt.distinct_pairs.ratio:.1%}" if prompt.distinct_pairs.total else "-",
        f"{prompt.compression.mean:.1f}×" if prompt.samples else "-",
    )


def _histogram(title: str, lengths: Lengths) -> Picture:
    edges = [0, *lengths.bounds]
    filled = [place for place, count in enumerate(lengths.counts) if count]
    first, last = filled[0], filled[-1]
    counts = lengths.counts[first : last + 1]
    every = max(1, -(-len(counts) // _LABELS))
    labels = [(place, compact(edges[first + place])) for place in range(0, len(counts), every)]
    low, middle, high = (_quantile(lengths.counts, edges, part) for part in (0.1, 0.5, 0.9))
    alternative = (
        f"{lengths.mean:,.0f} in the mean, about {number(middle)} in the middle; eight of ten lie "
        f"between about {number(low)} and {number(high)}; the longest has {number(lengths.largest)}."
    )
    return Picture(title, alternative, columns(counts, labels, label=compact))


def _quantile(counts: Sequence[int], edges: Sequence[int], part: float) -> int:
    """Where the bin begins in which this part of the values is reached."""
    wanted, below = part * sum(counts), 0
    for edge, count in zip(edges, counts, strict=True):
        below += count
        if below >= wanted:
            return edge
    return edges[-1]
