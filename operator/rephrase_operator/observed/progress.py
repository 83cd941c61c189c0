"""How far a job is: the account of its finished shards, plus the reports of the workers on the others.

Rates come from the workers, so neither a restart of the operator nor a suspension changes them. The time left
is the number of samples left, times the mean tokens of a sample so far, divided by the mean pace of a worker
so far and by the number of running workers. The current rate would not do: it says nothing while an engine
starts or drains. Before the workers have generated for a minute, what is expected of them is used instead:
the first samples to be finished are the short ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rephrase_operator.api.status import (
    ERROR_CODES_LIMIT,
    Counted,
    FinishedShards,
    Generating,
    PlanSummary,
    Progress,
)
from rephrase_operator.observed import tally
from rephrase_operator.observed.accounting import COUNTS
from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.views import LiveReport, PodView, termination_report
from rephrase_worker.spec import FinalReport, ShardReport

STALE = timedelta(seconds=30)
"""A rate older than this is ignored, because the worker does not answer any more."""

FIRST_MINUTE = 60.0
"""Mean seconds that a worker has to generate before the pace of the workers is believed."""

_ALL_COUNTS = ("documents", *COUNTS)

_NOBODY = {"eta": None, "eta_seconds": None, "workers": 0, "pending_workers": 0, "gpus": 0}
"""What Progress says while there are no workers."""


@dataclass(frozen=True)
class Expected:
    """What is expected of a worker, from the profile of its engine."""

    tokens_per_second: float
    """Output tokens, of all its GPUs together."""
    tokens_per_sample: float


def live_progress(
    *,
    before: Progress | None,
    plan: PlanSummary,
    samples_per_document: int,
    gpus: int,
    expected: Expected | None,
    account: FinishedShards,
    complete: Intervals,
    pods: Iterable[PodView],
    reports: Mapping[str, LiveReport],
    now: datetime,
) -> Progress:
    """Progress while the job generates. `gpus` is the number per worker, 0 on CPUs. `expected` is
    None where nothing can be expected of a worker.

    Counts never fall. After a worker was killed, its shard reports less until the next worker has caught up;
    the older count is shown meanwhile.
    """
    inside = Intervals.parse(account.shards)
    pods = list(pods)
    open_shards = latest_reports(pods, reports, inside)
    totals = Counter({name: getattr(account, name) for name in _ALL_COUNTS})
    errors = Counter(account.errors)
    for report in open_shards.values():
        totals["documents"] += report.documents_done
        for name in COUNTS:
            totals[name] += getattr(report, name)
        errors.update(report.errors)
    # These are complete, but their pods were gone before they were read. Finalizing counts them exactly.
    unread = [shard for shard in complete if shard not in inside and shard not in open_shards]
    share = len(unread) / max(plan.shards, 1)
    totals["documents"] += round(plan.documents * share)
    totals["samples_text"] += round(plan.documents * samples_per_document * share)
    before = before or Progress()
    totals = Counter({name: max(totals[name], getattr(before, name)) for name in _ALL_COUNTS})

    planned = max(plan.documents, totals["documents"])
    samples_planned = planned * samples_per_document
    samples = totals["samples_text"] + totals["samples_error"]
    ratio = min(1.0, samples / samples_planned) if samples_planned else 0.0
    if len(complete) < plan.shards:
        ratio = min(ratio, 0.999)  # An estimate must not reach 100% before the job is done.

    running = [pod for pod in pods if pod.running]
    fresh = [reports[pod.uid] for pod in running if pod.uid in reports and now - reports[pod.uid].at < STALE]
    rate = sum(live.report.tokens_per_second for live in fresh) if fresh else None
    missing = max(samples_planned - samples, 0)
    tokens, spent = _generated(account, fresh)
    seconds = None
    # Workers that have stopped to answer are in neither of the two.
    workers = len(fresh) + sum(pod.uid not in reports for pod in running)
    if expected is not None and workers and spent < FIRST_MINUTE * workers:
        pace = expected.tokens_per_second * workers
        seconds = math.ceil(missing * expected.tokens_per_sample / pace)
    elif fresh and tokens and spent and totals["output_tokens"] and samples:
        per_sample = totals["output_tokens"] / samples
        seconds = math.ceil(missing * per_sample / (tokens / spent * len(fresh)))
    return Progress(
        **{name: totals[name] for name in _ALL_COUNTS},
        documents_planned=planned,
        samples_planned=samples_planned,
        errors=tally.grown(before.errors, errors, total=totals["samples_error"], limit=ERROR_CODES_LIMIT),
        ratio=round(ratio, 4),
        percent=percent(ratio),
        tokens_per_second=_rounded(rate),
        tokens_per_second_per_gpu=_rounded(rate / (len(fresh) * gpus)) if rate is not None and gpus else None,
        eta=None if seconds is None else duration(seconds),
        eta_seconds=seconds,
        workers=len(running),
        pending_workers=sum(pod.phase == "Pending" and not pod.deleting for pod in pods),
        gpus=len(running) * gpus,
    )


def _generated(account: FinishedShards, fresh: Sequence[LiveReport]) -> tuple[int, float]:
    """Output tokens that workers have generated, and the seconds that they have spent: their mean pace.

    The start-up of ended pods is included, because future pods need it too.
    """
    tokens = account.generated_tokens + sum(live.report.generated_tokens for live in fresh)
    seconds = account.worker_seconds + sum(live.report.engine_seconds for live in fresh)
    return tokens, seconds


def idle_progress(before: Progress | None) -> Progress | None:
    """Progress while nothing generates: counts stay, and rates are unset."""
    if before is None:
        return None
    return before.model_copy(update={"tokens_per_second": None, "tokens_per_second_per_gpu": None} | _NOBODY)


def final_progress(
    before: Progress | None,
    report: FinalReport,
    account: FinishedShards | None,
    generating: Generating | None,
    *,
    samples_per_document: int,
    gpus: int,
) -> Progress:
    """Progress when the dataset is finalized: the finalizer's exact counts, and the mean rates.

    The rates use tokens that are in the dataset, or in outputs that it leaves out, and that this job's own
    pods have generated. The dataset can hold more, because a job that is applied again finds what the earlier
    one made. The pods can have generated more, because a killed pod loses what it has not committed.
    """
    finished = report.samples_text + report.samples_error + report.samples_filtered
    planned = finished + report.samples_missing
    ratio = finished / planned if planned else 1.0
    seconds = generating.seconds if generating else 0.0
    generated, worker_seconds = (account.generated_tokens, account.worker_seconds) if account else (0, 0.0)
    generated = min(generated, report.output_tokens + report.filtered_output_tokens)
    rate = generated / seconds if seconds and generated else None
    per_gpu = generated / (worker_seconds * gpus) if worker_seconds and generated and gpus else None
    before = before or Progress()
    return before.model_copy(
        update={
            "documents": report.documents - report.samples_missing // samples_per_document,
            "documents_planned": report.documents,
            "samples_planned": planned,
            "samples_text": report.samples_text,
            "samples_error": report.samples_error,
            "samples_filtered": report.samples_filtered,
            "errors": tally.grown(before.errors, {}, total=report.samples_error, limit=ERROR_CODES_LIMIT),
            "prompt_tokens": report.prompt_tokens,
            "output_tokens": report.output_tokens,
            "ratio": round(ratio, 4),
            "percent": percent(ratio),
            "tokens_per_second": _rounded(rate),
            "tokens_per_second_per_gpu": _rounded(per_gpu),
            **_NOBODY,
        }
    )


def counted(before: Progress | None, report: FinalReport, final: Progress) -> Counted:
    """What Prometheus' counters show from now on: `final`, but nothing less than `before`."""
    exact = {name: getattr(final, name) for name in _ALL_COUNTS}
    exact["samples_text"] += report.samples_filtered
    exact["output_tokens"] += report.filtered_output_tokens
    before = before or Progress()
    return Counted(**{name: max(count, getattr(before, name)) for name, count in exact.items()})


def percent(ratio: float) -> str:
    """A ratio for people. Rounded down: 100% means all of it."""
    return f"{math.floor(ratio * 1000 + 1e-6) / 10:g}%"


def duration(seconds: int) -> str:
    """A time span for people, in its two largest units: 45s, 12m30s, 3h05m, 2d04h."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hour}h{minute:02}m"
    return f"{minute}m{second:02}s" if minutes else f"{second}s"


def error_ratio(progress: Progress) -> float:
    """Share of the samples so far that are errors."""
    samples = progress.samples_text + progress.samples_error + progress.samples_filtered
    return progress.samples_error / samples if samples else 0.0


def latest_reports(
    pods: Iterable[PodView], reports: Mapping[str, LiveReport], inside: Intervals
) -> dict[int, ShardReport]:
    """The most advanced report of every shard that is not in the account.

    Two pods of a shard can run at once, and one that has just started has not read yet what the other
    committed.
    """
    best: dict[int, ShardReport] = {}
    for pod in pods:
        if pod.index is None or pod.index in inside:
            continue
        live = reports.get(pod.uid)
        report = termination_report(ShardReport, pod.termination) or (live.report if live else None)
        if report is None:
            continue
        known = best.get(pod.index)
        if known is None or _size(report) >= _size(known):
            best[pod.index] = report
    return best


def _size(report: ShardReport) -> int:
    return report.samples_text + report.samples_error


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 1)
