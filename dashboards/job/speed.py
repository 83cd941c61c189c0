"""How fast the job is, against its profile, by prompt and by worker."""

from __future__ import annotations

from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel

from dashboards.queries import ONE, per_job, rate, series
from dashboards.style import BLUE, GREEN, ORANGE, RED, dashed, fixed, lines, prop, query, ranking, stacked

WORKER_SPEED = f"sum by (pod) ({rate('rephrase_worker_output_tokens_total', ONE)})"
"""Output tokens/s of each worker."""

SLOWEST = 10


def panels() -> list[Panel | Table]:
    """The panels from left to right, in two lines."""
    return [_total(), _per_gpu(), _in_and_out(), _by_prompt(), _spread(), _slowest()]


def _total() -> Panel:
    expected = per_job(series("rephrase_job_expected_output_tokens_per_second_per_gpu", ONE))
    gpus = per_job(series("rephrase_job_gpus", ONE))
    return (
        lines(
            "Output tokens/s against the profile",
            "Tokens that all workers write in a second, and what the profile expects of the GPUs that they "
            "hold. Start-up is not in the expectation: a gap at the start closes when the engines are "
            "loaded.",
            query(per_job(series("rephrase_job_output_tokens_per_second", ONE)), "measured", ref="A"),
            query(f"{expected} * {gpus}", "expected by the profile", ref="B"),
            unit="short",
        )
        .override_by_name("measured", [fixed(BLUE)])
        .override_by_name("expected by the profile", dashed())
    )


def _per_gpu() -> Panel:
    return (
        lines(
            "Output tokens/s/GPU against the profile",
            "The figure to compare with other jobs, GPUs and the published ones (docs/profiles.md). Under "
            "half of the expectation: look at KV cache, preemptions and waiting requests, then at the "
            "profile.",
            query(per_job(series("rephrase_job_output_tokens_per_second_per_gpu", ONE)), "measured", ref="A"),
            query(
                per_job(series("rephrase_job_expected_output_tokens_per_second_per_gpu", ONE)),
                "expected by the profile",
                ref="B",
            ),
            unit="short",
        )
        .override_by_name("measured", [fixed(BLUE)])
        .override_by_name("expected by the profile", dashed())
        .no_value("no GPUs")
    )


def _in_and_out() -> Panel:
    cached = rate("rephrase_worker_cached_prompt_tokens_total", ONE)
    return (
        stacked(
            "Tokens in and out",
            "Prompt tokens that were computed, prompt tokens that came from the prefix cache, and output "
            "tokens. Much computed input for little output: documents are long, or prompts don't share "
            "their beginning (layout documentFirst).",
            query(
                f"clamp_min(sum({rate('rephrase_worker_prompt_tokens_total', ONE)}) - sum({cached}), 0)",
                "in, computed",
                ref="A",
            ),
            query(f"sum({cached})", "in, from the cache", ref="B"),
            query(f"sum({rate('rephrase_worker_output_tokens_total', ONE)})", "out", ref="C"),
            unit="short",
        )
        .override_by_name("in, computed", [fixed(ORANGE)])
        .override_by_name("in, from the cache", [fixed(GREEN)])
        .override_by_name("out", [fixed(BLUE)])
    )


def _by_prompt() -> Panel:
    return stacked(
        "Output tokens/s by prompt",
        "Tokens of finished samples. A prompt with most of the tokens decides what the job costs: give it "
        "fewer maxTokens if its texts ramble.",
        query(f"sum by (prompt) ({rate('rephrase_worker_prompt_output_tokens_total', ONE)})", "{{prompt}}"),
        unit="short",
    )


def _spread() -> Panel:
    quantiles = (
        (1.0, "fastest", [fixed(GREEN)]),
        (0.9, "90%", dashed(GREEN)),
        (0.5, "median", [fixed(BLUE)]),
        (0.1, "10%", dashed(ORANGE)),
        (0.0, "slowest", [fixed(RED)]),
    )
    panel = lines(
        "Spread over the workers",
        "Output tokens/s of the workers. Lines close together are good. A slowest worker far below the "
        "median makes the job's tail long: its name is in the next panel. Workers that just start write "
        "nothing.",
        *(
            query(f"quantile({quantile}, {WORKER_SPEED})", name, ref=ref)
            for ref, (quantile, name, _) in zip("ABCDE", quantiles, strict=True)
        ),
        unit="short",
    )
    for _, name, look in quantiles:
        panel = panel.override_by_name(name, look)
    return panel


def _slowest() -> Table:
    named = f"sum by (pod, node) ({rate('rephrase_worker_output_tokens_total', ONE)})"
    return (
        ranking(
            "Slowest workers",
            f"The {SLOWEST} workers that write fewest tokens a second, with their nodes. When one node has "
            "several, look at its GPUs (clocks, temperature, other processes) and drain it; the shards go "
            "on elsewhere.",
            f"bottomk({SLOWEST}, {named})",
            {"pod": "Worker", "node": "Node"},
            "Tokens/s",
            color=BLUE,
            width=8,
        )
        .override_by_name("Node", [prop("custom.width", 80)])
        .override_by_name("Tokens/s", [prop("unit", "short"), prop("custom.width", 150)])
    )
