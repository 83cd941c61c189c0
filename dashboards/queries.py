"""PromQL that the panels share.

No query needs the chart's recording rules, so the dashboards work where the rules are not installed. That
costs little: the operator has already added up the workers, so a job has one series of each metric. Only the
panels of one job look at its workers, and they ask for quantiles or the slowest few: a fleet has a thousand.
"""

from __future__ import annotations

CHOSEN = 'namespace=~"$namespace", job=~"$job"'
"""Matchers of the fleet's variables."""

ONE = 'namespace="$namespace", job="$job"'
"""Matchers of one job's variables."""


JOB = ("cluster", "namespace", "job")
"""Labels that name a job. `cluster` is one that a Prometheus of several clusters has; others do without."""


def series(metric: str, *matchers: str) -> str:
    """A selector."""
    return f"{metric}{{{', '.join(matchers)}}}"


def rate(metric: str, *matchers: str) -> str:
    """The rate of a counter over an interval that holds at least four scrapes."""
    return f"rate({series(metric, *matchers)}[$__rate_interval])"


def per_job(expression: str, *labels: str) -> str:
    """One series for each job.

    While one operator takes over from another, both can have a job's series for a moment. Their maximum
    counts the job once, where a sum would count it twice.
    """
    return f"max by ({', '.join((*JOB, *labels))}) ({expression})"


def on_job(*labels: str) -> str:
    """How a job's series of several labels meet its one series, of which they take these labels."""
    return f"on ({', '.join(JOB)}) group_left ({', '.join(labels)})"


def with_model(expression: str) -> str:
    """A job's value with the label `model`, and only of jobs of the chosen models.

    `expression` has one series for each job, or for each of its labels.
    """
    models = per_job(series("rephrase_job_info", CHOSEN, 'model=~"$model"'), "model")
    return f"{expression} * {on_job('model')} {models}"


def of_fleet(metric: str, *labels: str, matchers: tuple[str, ...] = ()) -> str:
    """A metric of each chosen job, with the label `model`."""
    return with_model(per_job(series(metric, CHOSEN, *matchers), *labels))


def error_share(matchers: str) -> str:
    """Share of each job's finished samples that are errors. No series before the first sample."""
    errors = per_job(series("rephrase_job_samples_total", matchers, 'outcome="error"'))
    outcomes = per_job(series("rephrase_job_samples_total", matchers), "outcome")
    total = f"sum by ({', '.join(JOB)}) ({outcomes})"
    return f"{errors} / ({total} > 0)"


def speed_share(matchers: str) -> str:
    """Each job's output tokens/s/GPU as a share of what its engine profile promises."""
    actual = per_job(series("rephrase_job_output_tokens_per_second_per_gpu", matchers))
    expected = per_job(series("rephrase_job_expected_output_tokens_per_second_per_gpu", matchers))
    return f"{actual} / {expected}"


def cost_per_hour(matchers: str) -> str:
    """What each job costs in an hour, by currency. No series for jobs without a price.

    A counter that grows by GPU-seconds each second, times the price of a GPU-hour, is the cost of an hour.
    """
    gpus = per_job(rate("rephrase_job_gpu_seconds_total", matchers))
    prices = per_job(series("rephrase_job_gpu_hour_price", matchers), "currency")
    return f"{prices} * {on_job()} {gpus}"
