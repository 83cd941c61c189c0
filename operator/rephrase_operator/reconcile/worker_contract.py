"""Policy: a worker never gets a setting that its version of the contract does not know.

A job keeps its worker image to its end, while operators are upgraded or downgraded, so the image can be older
or newer than the operator. A worker that gets a field that it does not know ends with exit code 64, which
fails the job.
"""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_operator.api import conditions
from rephrase_operator.api.status import RephraseJobStatus
from rephrase_worker.spec import EngineSettings


@dataclass(frozen=True)
class WorkerContract:
    """The verdict."""

    engine: str
    """The engine's settings that the job's workers know, as text."""
    left_out: tuple[str, ...]
    """Settings of the spec that they don't know."""
    message: str
    """The sentence about these settings; empty if there are none."""


def judge(engine: EngineSettings, status: RephraseJobStatus) -> WorkerContract:
    """Judge the engine's settings for the workers of this job."""
    version = status.contract_version
    left_out = tuple(f"engine.{path}" for path in engine.unknown_to(version))
    message = conditions.workers_too_old(left_out, status.worker_image or "") if left_out else ""
    return WorkerContract(engine.to_json(version), left_out, message)
