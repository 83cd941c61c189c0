"""What a job will take, before a GPU is asked for.

`lengths` and `outputs` know how long outputs are, `makespan` how long shards take on some workers, `advice`
what would make a job cheaper, and `job` puts it together. Pure and cheap: operator, planner and commands
import it.
"""

from rephrase_worker.estimate.advice import advise
from rephrase_worker.estimate.job import (
    EAGER_STARTUP_SECONDS,
    STARTUP_SECONDS,
    Estimate,
    Fleet,
    NothingKnownError,
    Price,
    estimate,
    gpu_hours,
)
from rephrase_worker.estimate.span import Span

__all__ = [
    "EAGER_STARTUP_SECONDS",
    "STARTUP_SECONDS",
    "Estimate",
    "Fleet",
    "NothingKnownError",
    "Price",
    "Span",
    "advise",
    "estimate",
    "gpu_hours",
]
