"""Measures samples: from a batch of one prompt's texts to their counts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rephrase_worker.quality import openings, phrases, structure
from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.quality.distributions import histogram, moments
from rephrase_worker.quality.language import differs, language_of
from rephrase_worker.quality.sketch import sketch
from rephrase_worker.quality.words import repeated_share, words_of
from rephrase_worker.samples import is_empty
from rephrase_worker.spec import Prompt

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BATCH_CHARACTERS = 4_000_000
"""Texts are measured in batches of about so many characters: the words of a batch take ten times as much
memory."""

_BATCH_SAMPLES = 100_000

_LOOPING = 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured of one sample that has a text."""

    text: str
    prompt_tokens: int = 0
    output_tokens: int = 0
    document_language: str | None = None
    """What `language_of` says of the document; None where nothing noted it."""


class Measure:
    """Measures the samples of one prompt. Not for several threads at once."""

    def __init__(self, prompt: Prompt, *, full: bool = True) -> None:
        """With `full` unset only what reports of a running worker show: a fifth of the time."""
        self._instruction = phrases.Instruction(prompt.template)
        self._structure = prompt.structure
        self._full = full
        self._compressor = zstd.ZstdCompressor(level=1)

    def __call__(self, samples: Sequence[Measured]) -> PromptCounts:
        """The counts of some samples."""
        filled = [sample for sample in samples if not is_empty(sample.text)]
        total = PromptCounts(empty=len(samples) - len(filled))
        for batch in _batches(filled):
            texts = [_storable(sample.text) for sample in batch]
            total += self._shown(texts)
            if self._full:
                total += self._repetition(texts) + _lengths(batch) + _languages(batch, texts)
        return total

    def _shown(self, texts: Sequence[str]) -> PromptCounts:
        structured = 0
        if self._structure is not None:
            structured = sum(structure.holds(self._structure, text) for text in texts)
        return PromptCounts(
            samples=len(texts),
            sentences=openings.count(map(openings.first_sentence, texts)),
            first10=openings.count(openings.first_characters(text, 10) for text in texts),
            first30=openings.count(openings.first_characters(text, 30) for text in texts),
            refusals=phrases.refusals(texts),
            echoes=self._instruction.echoes(texts),
            structure_judged=len(texts) if self._structure is not None else 0,
            structured=structured,
        )

    def _repetition(self, texts: Sequence[str]) -> PromptCounts:
        words = words_of(texts)
        pairs = words.ngrams(2)
        repeated = repeated_share(words.ngrams(3), len(texts))
        return PromptCounts(
            words=len(words.hashes),
            distinct_words=sketch(words.different),
            pairs=len(pairs.hashes),
            distinct_pairs=sketch(pairs.different),
            repeated_words=moments(repeated),
            repeated_lines=moments(_each(texts, _repeated_lines)),
            looping=int(np.count_nonzero(repeated > _LOOPING)),
            compression=moments(_each(texts, self._compression)),
        )

    def _compression(self, text: str) -> float:
        content = text.encode()
        return len(content) / len(self._compressor.compress(content, self._compressor.FLUSH_FRAME))


def _lengths(batch: Sequence[Measured]) -> PromptCounts:
    return PromptCounts(
        prompt_tokens=histogram(np.array([sample.prompt_tokens for sample in batch], dtype=np.int64)),
        output_tokens=histogram(np.array([sample.output_tokens for sample in batch], dtype=np.int64)),
    )


def _languages(batch: Sequence[Measured], texts: Sequence[str]) -> PromptCounts:
    languages = [language_of(text) for text in texts]
    verdicts = [
        differs(sample.document_language, language)
        for sample, language in zip(batch, languages, strict=True)
        if sample.document_language is not None
    ]
    return PromptCounts(
        languages=Counter(languages),
        language_judged=sum(verdict is not None for verdict in verdicts),
        language_differs=sum(verdict is True for verdict in verdicts),
    )


def _batches(samples: Sequence[Measured]) -> Iterator[Sequence[Measured]]:
    start = characters = 0
    for end, sample in enumerate(samples):
        if characters >= _BATCH_CHARACTERS or end - start >= _BATCH_SAMPLES:
            yield samples[start:end]
            start, characters = end, 0
        characters += len(sample.text)
    if start < len(samples):
        yield samples[start:]


def _storable(text: str) -> str:
    """The text as a file can hold it: without lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _each(texts: Sequence[str], figure: Callable[[str], float]) -> npt.NDArray[np.float64]:
    return np.fromiter(map(figure, texts), dtype=np.float64, count=len(texts))


def _repeated_lines(text: str) -> float:
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    return 1 - len(set(lines)) / len(lines)
