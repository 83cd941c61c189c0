"""The pictures of the docs."""

from __future__ import annotations

from dashboards.variables import EVERYTHING
from scripts.dashboard import jobs
from scripts.dashboard.pictures import Picture

FLEET = {"namespace": EVERYTHING, "model": EVERYTHING, "job": EVERYTHING}
"""Values of the fleet's variables."""

_REAL = f"{jobs.REAL}: real vLLM with SmolLM2-135M on two CPU cores."
_SIMULATED = "Jobs named simulated-*: placeholder text at a chosen pace on pretended GPUs, no model."
_NEEDS_GPUS = ("Of the profile's speed", "Output tokens/s/GPU against the profile")


def of_job(job: str) -> dict[str, str]:
    """Values of the variables of a job's dashboard."""
    return {"namespace": jobs.namespace_of(job), "model": EVERYTHING, "job": job}


PICTURES = [
    Picture(
        file="dashboard-fleet.png",
        dashboard="rephrase-fleet",
        variables=FLEET,
        caption=f"{_REAL} {_SIMULATED}",
    ),
    Picture(
        file="dashboard-job.png",
        dashboard="rephrase-job",
        variables=of_job(jobs.REAL),
        sections=("", "Progress", "Speed"),
        without=_NEEDS_GPUS,
        caption=f"{_REAL} A worker was killed on purpose. Panels that need GPUs are left out.",
    ),
    Picture(
        file="dashboard-job-engines.png",
        dashboard="rephrase-job",
        variables=of_job(jobs.REAL),
        sections=("Engines", "Workers and failures", "Texts", "Cost"),
        caption=f"{_REAL} A worker was killed on purpose, and two documents have no text.",
    ),
    Picture(
        file="dashboard-job-gpus.png",
        dashboard="rephrase-job",
        variables=of_job(jobs.FAST),
        sections=("", "Speed", "Cost"),
        theme="light",
        caption=_SIMULATED,
    ),
    Picture(
        file="dashboard.png",
        dashboard="rephrase-job",
        variables=of_job(jobs.REAL),
        panels=(
            "Phase",
            "Progress",
            "Time left",
            "Output tokens/s",
            "GPU-hours",
            "Cost",
            "Output tokens/s against the profile",
            "Requests in the engines",
            "KV cache in use",
        ),
        width=1200,
        caption=f"{_REAL} The data are those of a run of `make dashboard`.",
    ),
]
