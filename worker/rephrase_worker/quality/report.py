"""The quality of a finished dataset: `_rephrase/quality.json`, and what card and report show.

docs/quality.md says what each figure means, how exact it is, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from rephrase_worker.quality import openings
from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.quality.distributions import BOUNDS, Histogram, Moments
from rephrase_worker.spec import Contract, Recipe

SHOWN_OPENINGS = 20
"""Openings of each measure in the report."""

OpeningMeasure = Literal["firstSentence", "first10Characters", "first30Characters"]


class TopOpening(Contract):
    """A frequent opening. It is that of `count` to `at_most` texts; the two differ where shards left out rare
    openings."""

    text: str
    count: int
    at_most: int
    share: float
    """`count` divided by the number of texts."""


class DistinctNgrams(Contract):
    """How many of the words, or pairs of words, are different ones."""

    total: int
    distinct: int
    """Estimated, with a standard error of 2.3%."""
    ratio: float
    """`distinct` / `total`: distinct-n. It falls as a dataset grows, so compare datasets of one size."""


class Figure(Contract):
    """Mean and standard deviation over the texts."""

    mean: float
    spread: float


class Lengths(Contract):
    """Lengths in tokens, over the texts."""

    mean: float
    largest: int
    bounds: list[int]
    """Where the bins of `counts` begin, but for the first, which begins at 0."""
    counts: list[int]
    """Texts by bin; one more than `bounds`."""


class PromptReport(Contract):
    """One prompt's texts."""

    samples: int
    """Texts that are not blank. All shares are of these."""
    empty: int
    """Blank texts."""
    openings: dict[OpeningMeasure, list[TopOpening]] = Field(default_factory=dict)
    """The most frequent first."""
    distinct_words: DistinctNgrams
    distinct_pairs: DistinctNgrams
    repeated_words: Figure
    """Share of a text's runs of three words that it has had before."""
    repeated_lines: Figure
    """Share of a text's lines that it has had before."""
    looping: int
    """Texts that mostly repeat themselves."""
    compression: Figure
    """How many times smaller zstd makes a text."""
    prompt_tokens: Lengths
    output_tokens: Lengths
    refusals: int
    echoes: int
    """Texts that repeat the instruction."""
    languages: dict[str, int]
    """Texts by language (`en`) or script (`Latn`), most frequent first; `und` for texts without letters."""
    language_judged: int
    """Texts whose language can be compared with their document's."""
    language_differs: int
    """Of these, texts in another language."""
    structure: str | None = None
    """The checker; None for a prompt that none belongs to."""
    structure_judged: int
    structured: int
    """Of these, texts that have the structure."""

    @property
    def structure_rate(self) -> float | None:
        """Share of the texts that have the structure; None where nothing was judged."""
        return self.structured / self.structure_judged if self.structure_judged else None


class QualityReport(Contract):
    """`_rephrase/quality.json`: the quality of the whole dataset, computed from its shards' counts."""

    schema_version: Literal[1] = 1
    recipe_hash: str
    shards: int
    """Finished shards whose counts are in it."""
    uncounted_shards: int
    """Finished shards without counts: a worker of an earlier version finished them."""
    prompts: dict[str, PromptReport]


def report(
    recipe: Recipe, counts: Mapping[str, PromptCounts], *, shards: int, uncounted_shards: int
) -> QualityReport:
    """The figures of a dataset. Pure."""
    return QualityReport(
        recipe_hash=recipe.hash,
        shards=shards,
        uncounted_shards=uncounted_shards,
        prompts={
            prompt.name: _prompt(counts.get(prompt.name, PromptCounts()), prompt.structure)
            for prompt in recipe.prompts
        },
    )


def _prompt(counts: PromptCounts, structure: str | None) -> PromptReport:
    return PromptReport(
        samples=counts.samples,
        empty=counts.empty,
        openings={
            "firstSentence": _top(counts.sentences, counts.samples),
            "first10Characters": _top(counts.first10, counts.samples),
            "first30Characters": _top(counts.first30, counts.samples),
        },
        distinct_words=_distinct(counts.words, counts.distinct_words.estimate),
        distinct_pairs=_distinct(counts.pairs, counts.distinct_pairs.estimate),
        repeated_words=_figure(counts.repeated_words),
        repeated_lines=_figure(counts.repeated_lines),
        looping=counts.looping,
        compression=_figure(counts.compression),
        prompt_tokens=_lengths(counts.prompt_tokens),
        output_tokens=_lengths(counts.output_tokens),
        refusals=counts.refusals,
        echoes=counts.echoes,
        languages={
            name or "und": number
            for name, number in sorted(counts.languages.items(), key=lambda item: (-item[1], item[0]))
        },
        language_judged=counts.language_judged,
        language_differs=counts.language_differs,
        structure=structure,
        structure_judged=counts.structure_judged,
        structured=counts.structured,
    )


def _top(counted: openings.Openings, samples: int) -> list[TopOpening]:
    return [
        TopOpening(text=top.text, count=top.count, at_most=top.at_most, share=round(top.count / samples, 6))
        for top in counted.top(SHOWN_OPENINGS)
    ]


def _distinct(total: int, estimate: int) -> DistinctNgrams:
    distinct = min(total, estimate)
    return DistinctNgrams(total=total, distinct=distinct, ratio=round(distinct / total, 6) if total else 0.0)


def _figure(moments: Moments) -> Figure:
    return Figure(mean=round(moments.mean, 4), spread=round(moments.spread, 4))


def _lengths(histogram: Histogram) -> Lengths:
    return Lengths(
        mean=round(histogram.mean, 2),
        largest=histogram.largest,
        bounds=list(BOUNDS),
        counts=list(histogram.counts),
    )
