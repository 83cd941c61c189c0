"""What a sample of the documents says about the tokens of the whole job."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev, stdev

from rephrase_worker.clock import Clock, MonotonicClock
from rephrase_worker.engine.simulated import DEFAULT_CONTEXT
from rephrase_worker.estimate.makespan import grouped
from rephrase_worker.estimate.outputs import expected_outputs
from rephrase_worker.models import delivery
from rephrase_worker.plan import ShardPlan, SourceListing
from rephrase_worker.rendering.check import planning_renderer
from rephrase_worker.rendering.errors import DocumentError
from rephrase_worker.rendering.placeholders import placeholders
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.tokenizer import Tokenizer
from rephrase_worker.rendering.words import WordTokenizer
from rephrase_worker.source.row import Row
from rephrase_worker.source.sampling import Sample, sample
from rephrase_worker.spec import EngineSettings, Recipe, Statistics

_PROMPTS = 2048
"""Prompts that are rendered: about this many, so that planning does not take minutes."""

_FEWEST_DOCUMENTS, _MOST_DOCUMENTS = 256, 512
_SECONDS = 60.0
"""No further document of the sample is rendered after this long."""

_UNSURE_COUNT = 1.25
"""A number of documents that is known from the start of a file alone is likely right within this factor."""

_FEWEST_LENGTHS = 8
"""Places in plain JSONL from which the mean length of a line is taken."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens of one document."""

    document: int
    prompts: int
    """Of all its prompts, each once."""
    repeated: int
    truncated: bool


def measure(
    recipe: Recipe,
    engine: EngineSettings | None,
    listing: SourceListing,
    shards: Sequence[ShardPlan],
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
) -> Statistics:
    """Sample the listed source and render its prompts. Raises WorkerError: those of the model's files."""
    clock = clock or MonotonicClock()
    tokenizer, renderer = _renderer(recipe, engine, listing.model_revision, environment)
    most = min(_MOST_DOCUMENTS, max(_FEWEST_DOCUMENTS, _PROMPTS // len(recipe.prompts)))
    drawn = sample(listing, recipe.source, placeholders(recipe.prompts), most, clock)
    measured, unusable, whole = _measured(drawn, tokenizer, renderer, clock)
    sampled = len(measured) + unusable
    documents, low, high = _documents(drawn)
    if not sampled:
        return Statistics(documents=documents, documents_low=low, documents_high=high)
    usable = len(measured) / sampled
    rollouts = recipe.sampling.rollouts
    prompts = [one.prompts * rollouts for one in measured] + [0] * unusable
    mean, error = fmean(prompts), 0.0 if whole else 2 * _standard_error(prompts, documents)
    texts = [one.document for one in measured] or [0]
    outputs = expected_outputs(recipe, texts, round(documents * usable), simulated=_simulated(recipe, engine))
    return Statistics(
        unit="words" if isinstance(tokenizer, WordTokenizer) else "tokens",
        documents=documents,
        documents_low=low,
        documents_high=high,
        sampled=sampled,
        unusable=unusable,
        unreadable_places=drawn.unreadable,
        document_tokens=round(fmean(texts), 1),
        document_deviation=round(pstdev(texts), 1),
        truncated=round(fmean([one.truncated for one in measured] or [False]), 4),
        prompt_tokens=round(mean, 2),
        prompt_tokens_low=round(max(mean - error, mean / 4), 2),
        prompt_tokens_high=round(mean + error, 2),
        repeated_tokens=round(
            sum(one.repeated + (rollouts - 1) * one.prompts for one in measured) / sampled, 2
        ),
        output_tokens=round(outputs.tokens.expected * usable, 2),
        output_tokens_low=round(outputs.tokens.low * usable, 2),
        output_tokens_high=round(outputs.tokens.high * usable, 2),
        cut=round(outputs.cut, 4),
        output_basis=outputs.basis,
        shards=grouped(shard.documents for shard in shards),
    )


def _simulated(recipe: Recipe, engine: EngineSettings | None) -> bool:
    backend = engine.backend if engine is not None else "vllm"
    return recipe.model.name == delivery.SIMULATED_MODEL or backend == "simulated"


def _renderer(
    recipe: Recipe, engine: EngineSettings | None, commit: str | None, environment: Mapping[str, str]
) -> tuple[Tokenizer, Renderer]:
    """Those that the workers will have."""
    if _simulated(recipe, engine):
        words = WordTokenizer()
        context = (engine.max_model_len if engine else None) or DEFAULT_CONTEXT
        most = recipe.sampling.max_tokens
        return words, Renderer(words, recipe.prompts, max_model_len=context, max_tokens=most)
    model = recipe.model.model_copy(update={"revision": commit or recipe.model.revision})
    return planning_renderer(recipe, engine, str(delivery.small_files(model, environment)))


def _measured(
    drawn: Sample, tokenizer: Tokenizer, renderer: Renderer, clock: Clock
) -> tuple[list[Measured], int, bool]:
    """The documents of the sample, how many of them are unusable, and whether they are the whole source."""
    began = clock.now()
    found: list[Measured] = []
    unusable = looked = 0
    # The places of a look lie together, so one document of each is taken in turn: an end that comes early
    # leaves a sample that is spread as well.
    queues = [list(look.rows) for look in drawn.looks]
    while any(queues) and (not found or clock.now() - began < _SECONDS):
        for queue in queues:
            if queue:
                looked += 1
                measured = _document(queue.pop(), tokenizer, renderer)
                if measured is None:
                    unusable += 1
                else:
                    found.append(measured)
    texts = sum(len(look.rows) for look in drawn.looks)
    blank = sum(look.unusable for look in drawn.looks)
    unusable += round(blank * looked / texts) if texts else blank
    return found, unusable, drawn.whole and looked == texts


def _document(row: Row, tokenizer: Tokenizer, renderer: Renderer) -> Measured | None:
    """None for a document that will become an error."""
    text, fields = renderer.shorten(row.text), row.fields or {}
    try:
        renderer.check_fields(fields)
        rendered = renderer.render(text, fields)
        prompts = list(rendered.prompt_token_ids.values())
        document = min(len(tokenizer.starts(text)), len(prompts[0]))
    except DocumentError:
        return None
    return Measured(
        document=document,
        prompts=sum(map(len, prompts)),
        repeated=sum(_shared(prompts[0], other) for other in prompts[1:]),
        truncated=rendered.truncated,
    )


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that both begin with."""
    most = min(len(one), len(other))
    return bisect_left(range(most), True, key=lambda length: one[: length + 1] != other[: length + 1])


def _standard_error(values: Sequence[int], of: int) -> float:
    """Of the mean of all `of` values, from a sample of them."""
    count = len(values)
    if count < 2:
        return values[0] / 4 if values else 0.0
    left = max(0.0, 1 - count / max(count, of))
    return stdev(values) / math.sqrt(count) * math.sqrt(left)


def _documents(drawn: Sample) -> tuple[int, int, int]:
    """Documents that the job uses: what is expected, and the range."""
    known = sum(take.documents for take in drawn.taken if take.exact or take.limit is not None)
    unsure = [take for take in drawn.taken if not (take.exact or take.limit is not None)]
    if not unsure:
        return known, known, known
    lengths = [
        look.bytes_per_document
        for look in drawn.looks
        if look.bytes_per_document and not look.place.take.exact
    ]
    expected = sum(take.documents for take in unsure)
    factor = _UNSURE_COUNT
    plain = all(take.file.compression is None for take in unsure)
    if plain and len(lengths) >= _FEWEST_LENGTHS:
        mean = fmean(lengths)
        expected = round(sum(take.file.size for take in unsure) / mean)
        factor = 1 + 2 * stdev(lengths) / mean / math.sqrt(len(lengths))
    low, high = round(expected / factor), round(expected * factor)
    return known + expected, known + max(1, low), known + high
