"""The estimate of a job: a pure function of what planning measured, the pace of the engine, and a price.

Every figure has a range that it is likely in, and every assumption is a sentence. Ranges of independent
uncertainties are combined by the root of their summed squares, on a logarithmic scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rephrase_worker.estimate.makespan import makespan
from rephrase_worker.estimate.span import Span
from rephrase_worker.spec import Statistics

STARTUP_SECONDS = 100.0
"""From the start of a pod to its first token: imports, weights, compilation, CUDA graphs. Assumed."""

EAGER_STARTUP_SECONDS = 40.0
"""The same without compilation and CUDA graphs (`engine.enforceEager`)."""

_STARTUP_FACTOR = 2.0
_PACE_FACTORS = {"measured": 1.15, "assumed": 1.4, "scaled": 1.5, "given": 1.1}
"""The pace is likely within this factor, both ways, by how it is known. Identical runs of the playbook
differed by 7 to 11%."""

REFERENCE_RATIO = 1.7
"""Prompt tokens for each output token where published paces were measured (1.80T to 1.06T)."""

_PREFILL_SHARE = 0.1
"""Most that a prompt token takes of the time of an output token, in batches that fill a GPU. Assumed."""


class NothingKnownError(ValueError):
    """There is nothing to estimate from."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The workers of a job and what is expected of them."""

    parallelism: int
    """Workers at a time."""
    gpus_per_worker: int
    """0 on CPUs."""
    tokens_per_second_per_gpu: float | None = None
    """Output tokens, or those of a worker on CPUs; None where nothing is expected."""
    figure: str = "assumed"
    """How that is known: measured, assumed, scaled or given."""
    startup_seconds: float = STARTUP_SECONDS

    @property
    def units(self) -> int:
        """What is counted and paid for per worker: its GPUs, or itself on CPUs."""
        return max(1, self.gpus_per_worker)


@dataclass(frozen=True)
class Price:
    """What a GPU costs for an hour."""

    hour: float
    currency: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job will take. Figures that nothing is known of are None."""

    unit: str
    documents: Span
    prompt_tokens: Span
    output_tokens: Span
    computed_prompt_tokens: float
    """Expected prompt tokens that no prefix cache can spare."""
    gpu_hours: Span | None = None
    """Worker-hours on CPUs."""
    startup_share: float | None = None
    """Of the GPU-hours."""
    wall_seconds: Span | None = None
    """At the parallelism that is asked for; None when that is 0."""
    cost: Span | None = None
    currency: str | None = None
    assumptions: list[str] = field(default_factory=list)
    """What the figures rest on, in sentences."""


def gpu_hours(output_tokens: float, tokens_per_second_per_gpu: float) -> float:
    """The playbook's arithmetic, start-up left out."""
    return output_tokens / (tokens_per_second_per_gpu * 3600)


def estimate(statistics: Statistics, fleet: Fleet, price: Price | None = None) -> Estimate:
    """Estimate a job. Raises NothingKnownError when no document could be sampled."""
    if not statistics.sampled:
        raise NothingKnownError(
            "There is no estimate, because no document could be sampled: the planner's log says why."
        )
    documents = Span(statistics.documents_low, statistics.documents, statistics.documents_high)
    prompt = _product(
        documents,
        Span(statistics.prompt_tokens_low, statistics.prompt_tokens, statistics.prompt_tokens_high),
    )
    output = _product(
        documents,
        Span(statistics.output_tokens_low, statistics.output_tokens, statistics.output_tokens_high),
    )
    computed = documents.expected * (statistics.prompt_tokens - statistics.repeated_tokens)
    found = Estimate(
        unit=statistics.unit,
        documents=documents,
        prompt_tokens=prompt,
        output_tokens=output,
        computed_prompt_tokens=computed,
        assumptions=_about_tokens(statistics),
    )
    return found if fleet.tokens_per_second_per_gpu is None else _timed(found, statistics, fleet, price)


@dataclass(frozen=True)
class _Case:
    """One end of the range: tokens, pace and start-up that go together."""

    output_tokens: float
    tokens_per_second: float
    """Of a worker."""
    startup_seconds: float


def _timed(found: Estimate, statistics: Statistics, fleet: Fleet, price: Price | None) -> Estimate:
    """The estimate with hours, wall time and cost."""
    pace = (fleet.tokens_per_second_per_gpu or 1.0) * fleet.units
    out = found.output_tokens
    tokens_up, tokens_down = _ratio(out.high, out.expected), _ratio(out.expected, out.low)
    factor = _PACE_FACTORS.get(fleet.figure, _PACE_FACTORS["assumed"])
    prefill = _prefill_factor(found)
    # Tokens and pace are uncertain independently of each other: both at their worst is not likely.
    slow = math.exp(math.hypot(math.log(tokens_up), math.log(factor))) * prefill
    fast = math.exp(math.hypot(math.log(tokens_down), math.log(factor)))
    cases = [
        _Case(out.expected / fast, pace, fleet.startup_seconds / _STARTUP_FACTOR),
        _Case(out.expected, pace, fleet.startup_seconds),
        _Case(out.expected * slow, pace, fleet.startup_seconds * _STARTUP_FACTOR),
    ]
    shards = sum(group.shards for group in statistics.shards)
    generating = [case.output_tokens / case.tokens_per_second * fleet.units / 3600 for case in cases]
    starting = [shards * case.startup_seconds * fleet.units / 3600 for case in cases]
    hours = Span(*(one + other for one, other in zip(generating, starting, strict=True)))
    wall = Span(*(_wall_seconds(case, statistics, fleet) for case in cases)) if fleet.parallelism else None
    return Estimate(
        unit=found.unit,
        documents=found.documents,
        prompt_tokens=found.prompt_tokens,
        output_tokens=found.output_tokens,
        computed_prompt_tokens=found.computed_prompt_tokens,
        gpu_hours=hours,
        startup_share=starting[1] / hours.expected if hours.expected else 0.0,
        wall_seconds=wall,
        cost=hours.times(price.hour) if price else None,
        currency=price.currency if price else None,
        assumptions=[*found.assumptions, *_about_pace(found, fleet, prefill)],
    )


def _wall_seconds(case: _Case, statistics: Statistics, fleet: Fleet) -> float:
    planned = sum(group.shards * group.documents for group in statistics.shards)
    per_document = case.output_tokens / max(1.0, planned) / case.tokens_per_second
    return makespan(
        statistics.shards,
        fleet.parallelism,
        lambda documents: case.startup_seconds + documents * per_document,
    )


def _prefill_factor(found: Estimate) -> float:
    """How much longer a job could take whose prompts are longer than those that paces were measured with."""
    ratio = found.computed_prompt_tokens / max(1.0, found.output_tokens.expected)
    return max(1.0, (1 + _PREFILL_SHARE * ratio) / (1 + _PREFILL_SHARE * REFERENCE_RATIO))


def _about_tokens(statistics: Statistics) -> list[str]:
    unit = statistics.unit
    sampled = (
        f"Prompts: {statistics.sampled:,} sampled documents of {statistics.document_tokens:,.0f} {unit} "
        f"(standard deviation {statistics.document_deviation:,.0f})."
    )
    found = [sampled]
    if statistics.documents_low != statistics.documents_high:
        found.append(
            f"The number of documents is itself an estimate: {statistics.documents_low:,} to "
            f"{statistics.documents_high:,}."
        )
    if statistics.unusable:
        share = statistics.unusable / statistics.sampled
        found.append(f"{share:.1%} of the sampled documents can't be rephrased and become errors.")
    if statistics.unreadable_places:
        found.append(f"{statistics.unreadable_places} places of the source could not be read for the sample.")
    if statistics.output_basis:
        found.append(f"Outputs: {statistics.output_basis}")
    return found


def _about_pace(found: Estimate, fleet: Fleet, prefill: float) -> list[str]:
    unit = "GPU" if fleet.gpus_per_worker else "worker"
    pace = (
        f"Pace: {fleet.tokens_per_second_per_gpu:,.0f} output {found.unit} a second and {unit} "
        f"({fleet.figure}), with prompts of web documents."
    )
    sentences = [pace, f"Start-up: {fleet.startup_seconds:.0f} s for each shard (assumed)."]
    if prefill > 1.05:
        ratio = found.computed_prompt_tokens / max(1.0, found.output_tokens.expected)
        sentences.append(
            f"Prompts are long here: {ratio:.1f} prompt tokens for each output token, against about "
            f"{REFERENCE_RATIO:g} where the pace was measured. The high figures allow for that."
        )
    return sentences


def _product(one: Span, other: Span) -> Span:
    """The product of two figures that are uncertain independently of each other."""
    expected = one.expected * other.expected
    down = math.hypot(*(math.log(max(1.0, _ratio(factor.expected, factor.low))) for factor in (one, other)))
    up = math.hypot(*(math.log(max(1.0, _ratio(factor.high, factor.expected))) for factor in (one, other)))
    return Span(expected * math.exp(-down), expected, expected * math.exp(up))


def _ratio(larger: float, smaller: float) -> float:
    return larger / smaller if smaller > 0 else 1.0
