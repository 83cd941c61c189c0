"""The estimate in the status: made when the plan is there, and again when what it rests on changes."""

from __future__ import annotations

import hashlib
import json

from rephrase_operator.api import RephraseJobSpec
from rephrase_operator.api.status import EngineStatus, EstimateStatus, Range, RephraseJobStatus
from rephrase_worker.estimate import (
    EAGER_STARTUP_SECONDS,
    STARTUP_SECONDS,
    Estimate,
    Fleet,
    Price,
    Span,
    advise,
    estimate,
)
from rephrase_worker.spec import Statistics


def judge(spec: RephraseJobSpec, status: RephraseJobStatus, *, gpus: int) -> EstimateStatus | None:
    """The estimate of a planned job, whose workers have this many GPUs each (0 on CPUs).

    None if planning could measure nothing, or is of an older version.
    """
    statistics = statistics_of(status)
    if statistics is None or not statistics.sampled:
        return None
    fleet, price = _fleet(spec, status.engine, gpus), _price(spec)
    asked = _digest(status, fleet, price)
    if status.estimate is not None and status.estimate.asked == asked:
        return status.estimate
    found = estimate(statistics, fleet, price)
    cheaper = advise(statistics, found, fleet, prompts=len(spec.prompts), max_tokens=spec.sampling.max_tokens)
    return EstimateStatus(
        summary=_summary(found, gpus),
        documents=_rounded(found.documents, 0),
        prompt_tokens=_rounded(found.prompt_tokens, 0),
        output_tokens=_rounded(found.output_tokens, 0),
        gpu_hours=_rounded(found.gpu_hours, 4) if found.gpu_hours else None,
        startup_share=None if found.startup_share is None else round(found.startup_share, 4),
        wall_seconds=_rounded(found.wall_seconds, 0) if found.wall_seconds else None,
        cost=_rounded(found.cost, 2) if found.cost else None,
        currency=found.currency,
        assumptions=found.assumptions,
        cheaper=cheaper,
        asked=asked,
    )


def statistics_of(status: RephraseJobStatus) -> Statistics | None:
    """What planning measured, if it did."""
    text = status.plan.statistics if status.plan else None
    return None if text is None else Statistics.model_validate_json(text, extra="ignore")


def _fleet(spec: RephraseJobSpec, engine: EngineStatus | None, gpus: int) -> Fleet:
    eager = engine is not None and engine.settings.enforce_eager
    return Fleet(
        parallelism=spec.parallelism,
        gpus_per_worker=gpus,
        tokens_per_second_per_gpu=engine.tokens_per_second_per_gpu if engine else None,
        figure=engine.figure if engine else "none",
        startup_seconds=EAGER_STARTUP_SECONDS if eager else STARTUP_SECONDS,
    )


def _price(spec: RephraseJobSpec) -> Price | None:
    cost = spec.cost
    if cost is None or cost.gpu_hour_price is None or cost.currency is None:
        return None
    return Price(cost.gpu_hour_price, cost.currency)


def _digest(status: RephraseJobStatus, fleet: Fleet, price: Price | None) -> str:
    text = status.plan.statistics if status.plan else None
    return hashlib.sha256(json.dumps([text, repr(fleet), repr(price)]).encode()).hexdigest()[:16]


def _summary(found: Estimate, gpus: int) -> str:
    if found.gpu_hours is None:
        return f"{found.output_tokens.expected:,.0f} {found.unit} out"
    hours = f"{found.gpu_hours.expected:,.1f} {'GPU' if gpus else 'worker'}-hours"
    return hours if found.cost is None else f"{hours}, {found.cost.expected:,.2f} {found.currency}"


def _rounded(span: Span, digits: int) -> Range:
    return Range(
        low=round(span.low, digits), expected=round(span.expected, digits), high=round(span.high, digits)
    )
