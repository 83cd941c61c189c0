"""What vLLM does in the workers."""

from __future__ import annotations

from grafana_foundation_sdk.builders.timeseries import Panel

from dashboards.queries import ONE, rate, series
from dashboards.style import BLUE, GREEN, ORANGE, RED, fixed, lines, query, stacked

SHORT_GAP = 300_000
"""Milliseconds. No share is known while no request begins; lines go on over such gaps."""


def panels() -> list[Panel]:
    """The panels from left to right, in two lines."""
    return [_kv_cache(), _requests(), _preemptions(), _prefix_cache(), _speculation(), _startup()]


def _kv_cache() -> Panel:
    usage = series("vllm:kv_cache_usage_perc", ONE)
    return (
        lines(
            "KV cache in use",
            "Share of the engines' KV cache. A median near 100% with preemptions: lower engine.maxNumSeqs "
            "or maxModelLen, or raise gpuMemoryUtilization. Far below 50% with requests waiting: raise "
            "maxNumSeqs.",
            query(f"max({usage})", "fullest worker", ref="A"),
            query(f"quantile(0.5, {usage})", "median", ref="B"),
            unit="percentunit",
        )
        .max(1)
        .override_by_name("fullest worker", [fixed(ORANGE)])
        .override_by_name("median", [fixed(BLUE)])
    )


def _requests() -> Panel:
    return (
        stacked(
            "Requests in the engines",
            "Requests that are computed, and requests that wait for room in a batch. A worker keeps only a "
            "few waiting. Running far below maxNumSeqs times workers with none waiting: reading the source "
            "or writing the destination is the bottleneck.",
            query(f"sum({series('vllm:num_requests_running', ONE)})", "running", ref="A"),
            query(f"sum({series('vllm:num_requests_waiting', ONE)})", "waiting", ref="B"),
            unit="short",
        )
        .override_by_name("running", [fixed(BLUE)])
        .override_by_name("waiting", [fixed(ORANGE)])
    )


def _preemptions() -> Panel:
    return (
        lines(
            "Preemptions",
            "Requests in a second that vLLM puts back because the KV cache is full; their prompts are "
            "computed again. Steadily above zero costs speed: lower engine.maxNumSeqs.",
            query(f"sum({rate('vllm:num_preemptions_total', ONE)})", "preemptions"),
            unit="reqps",
        )
        .axis_soft_max(1)
        .override_by_name("preemptions", [fixed(RED)])
    )


def _prefix_cache() -> Panel:
    hits = f"sum({rate('vllm:prefix_cache_hits_total', ONE)})"
    queries = f"sum({rate('vllm:prefix_cache_queries_total', ONE)})"
    return (
        lines(
            "Prefix-cache hits",
            "Share of prompt tokens that the cache had. With n prompts in the layout documentFirst up to "
            "(n-1)/n is possible. Near zero with several prompts: use that layout, or give the cache more "
            "memory.",
            query(f"{hits} / ({queries} > 0)", "hits"),
            unit="percentunit",
        )
        .max(1)
        .span_nulls(SHORT_GAP)
        .override_by_name("hits", [fixed(GREEN)])
    )


def _speculation() -> Panel:
    accepted = f"sum({rate('vllm:spec_decode_num_accepted_tokens_total', ONE)})"
    drafted = f"sum({rate('vllm:spec_decode_num_draft_tokens_total', ONE)})"
    return (
        lines(
            "Accepted speculation",
            "Share of the drafted tokens that the model accepts. Under about 20% the drafts cost more than "
            "they save on a busy GPU: switch engine.speculation off. Empty where it is off.",
            query(f"{accepted} / ({drafted} > 0)", "accepted"),
            unit="percentunit",
        )
        .max(1)
        .span_nulls(SHORT_GAP)
        .override_by_name("accepted", [fixed(GREEN)])
        .no_value("speculation is off")
    )


def _startup() -> Panel:
    return stacked(
        "Start-up by step",
        "Mean time that the running workers needed before the first token. A long `engine` step: use a model "
        "cache (worker.modelCacheClaim) and a compile cache. Long `resume`: many small segments to read.",
        query(f"avg by (step) ({series('rephrase_worker_startup_seconds', ONE)})", "{{step}}"),
        unit="s",
    )
