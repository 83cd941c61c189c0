"""Counts of one prompt's texts: what quality is computed from.

Counts of two disjoint sets of samples add up to the counts of both, whatever the order: `+` is associative
and commutative, and `PromptCounts()` is its identity. Everything is exact except what `Openings` and
`Sketch` state of themselves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

from rephrase_worker.quality.distributions import Histogram, Moments
from rephrase_worker.quality.openings import Openings
from rephrase_worker.quality.sketch import Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCounts:
    """Sums over samples with a text. Blank texts are only counted: nothing else can be said of them."""

    samples: int = 0
    """Texts that are not blank. The other counts are of these."""
    empty: int = 0
    """Texts that are empty or only white space."""
    sentences: Openings = field(default_factory=Openings)
    """First sentences."""
    first10: Openings = field(default_factory=Openings)
    """First 10 characters."""
    first30: Openings = field(default_factory=Openings)
    """First 30 characters."""
    words: int = 0
    distinct_words: Sketch = field(default_factory=Sketch)
    pairs: int = 0
    """Pairs of neighbouring words within a text."""
    distinct_pairs: Sketch = field(default_factory=Sketch)
    repeated_words: Moments = field(default_factory=Moments)
    """For each text, the share of its runs of three words that it has had before."""
    repeated_lines: Moments = field(default_factory=Moments)
    """For each text, the share of its lines that it has had before; blank lines don't count."""
    looping: int = 0
    """Texts with more repeated runs than not."""
    compression: Moments = field(default_factory=Moments)
    """For each text, its size in UTF-8 divided by that after zstd at level 1."""
    prompt_tokens: Histogram = field(default_factory=Histogram)
    output_tokens: Histogram = field(default_factory=Histogram)
    refusals: int = 0
    echoes: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    """Texts by language or script."""
    language_judged: int = 0
    """Texts whose language can be compared with their document's."""
    language_differs: int = 0
    structure_judged: int = 0
    """Texts that should have the prompt's structure; 0 for a prompt without one."""
    structured: int = 0

    def __add__(self, other: PromptCounts) -> PromptCounts:
        return PromptCounts(
            **{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        )

    def trimmed(self, *, most: int, least: int = 1) -> PromptCounts:
        """The same with fewer openings; see `Openings.trimmed`."""
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("sentences", "first10", "first30"):
            kept[name] = kept[name].trimmed(most=most, least=least)
        return PromptCounts(**kept)
