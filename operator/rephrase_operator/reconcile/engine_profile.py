"""Policy: spec.engine is resolved with the model's profile once, and again when what is asked for changes.

The outcome is kept in the status. So an operator with other profiles does not change the settings of a job in
mid-flight: only its user does, and the worker's image, when planning has found out what that can do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from rephrase_operator.api import RephraseJobSpec, conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.status import EngineStatus, RephraseJobStatus
from rephrase_worker.profiles import (
    NONE,
    PRODUCT_LABEL,
    DoesNotFitError,
    Resolved,
    Suffix,
    UnknownGpuError,
    UnknownProfileError,
    choose_gpu,
    resolve,
)


@dataclass(frozen=True)
class EngineVerdict:
    """The verdict."""

    engine: EngineStatus | None
    """For the status. None: the job can't start with this spec."""
    reason: str
    """Of the condition ProfileApplied, or of what stands against the spec."""
    message: str
    kept: bool = False
    """True if a change can't be followed, and the workers keep the settings that they have."""

    @property
    def applied(self) -> bool:
        """Whether the workers have the settings of a profile, and all that it needs."""
        return self.reason == ConditionReason.PROFILE_APPLIED


def judge(
    spec: RephraseJobSpec,
    status: RephraseJobStatus,
    *,
    node_selector: Mapping[str, str],
    accelerated: bool,
) -> EngineVerdict:
    """Judge the engine of a job.

    `node_selector` is that of its workers. `accelerated` is false if the operator's workers have no GPUs.
    """
    asked = _digest(spec, status, node_selector, accelerated=accelerated)
    known, started = status.engine, status.start_time is not None
    if started and known is None:
        return _verdict(_from_before(spec, asked))
    if started and known is not None and known.asked == asked:
        return _verdict(known)
    try:
        found = resolved(spec, status, node_selector=node_selector, accelerated=accelerated)
    except (UnknownGpuError, UnknownProfileError, DoesNotFitError) as error:
        return EngineVerdict(known if started else None, _REFUSALS[type(error)], str(error), kept=started)
    return _verdict(
        EngineStatus(
            profile=found.profile,
            gpu=found.gpu,
            tokens_per_second_per_gpu=found.tokens_per_second_per_gpu,
            figure=found.figure,
            settings=found.settings,
            reason=_reason(found),
            why=f"{found.shortfall} {found.why}".strip(),
            asked=asked,
        )
    )


def resolved(
    spec: RephraseJobSpec,
    status: RephraseJobStatus,
    *,
    node_selector: Mapping[str, str],
    accelerated: bool,
) -> Resolved:
    """The settings for this spec, and for the worker's image as far as planning has looked at it.

    Raises UnknownGpuError, UnknownProfileError and DoesNotFitError.
    """
    return resolve(
        model=spec.model.name,
        engine=spec.engine.settings,
        gpu=choose_gpu(spec.worker.gpu, node_selector, accelerated=accelerated),
        sampling=spec.sampling,
        profile=spec.engine.profile,
        suffix=status.plan.suffix_speculation if status.plan else None,
        weights_gib=_weights(status),
    )


def _weights(status: RephraseJobStatus) -> float | None:
    size = status.plan.weights_bytes if status.plan else None
    return size / 2**30 if size else None


_REFUSALS: dict[type[Exception], ConditionReason] = {
    UnknownGpuError: ConditionReason.UNKNOWN_GPU,
    UnknownProfileError: ConditionReason.UNKNOWN_PROFILE,
    DoesNotFitError: ConditionReason.MODEL_DOES_NOT_FIT,
}


def _verdict(engine: EngineStatus) -> EngineVerdict:
    return EngineVerdict(engine, engine.reason, engine.why)


def _reason(found: Resolved) -> ConditionReason:
    if found.suffix is Suffix.MISSING:
        return ConditionReason.SUFFIX_MISSING
    if found.profile == NONE:
        return ConditionReason.NO_PROFILE
    return ConditionReason.PROFILE_APPLIED if found.known_model else ConditionReason.UNKNOWN_MODEL


def _from_before(spec: RephraseJobSpec, asked: str) -> EngineStatus:
    """A job that an operator without profiles has started keeps the settings that it has."""
    return EngineStatus(
        profile=NONE,
        gpu="",
        settings=spec.engine.settings,
        reason=ConditionReason.NO_PROFILE,
        why=conditions.STARTED_WITHOUT_PROFILES,
        asked=asked,
    )


def _digest(
    spec: RephraseJobSpec,
    status: RephraseJobStatus,
    node_selector: Mapping[str, str],
    *,
    accelerated: bool,
) -> str:
    """Of everything that the settings are resolved from, but for the profiles themselves."""
    asked = [
        spec.engine.canonical(),
        spec.model.name,
        spec.sampling.max_tokens,
        spec.sampling.min_p,
        spec.worker.gpu,
        node_selector.get(PRODUCT_LABEL),
        accelerated,
        status.plan.suffix_speculation if status.plan else None,
        status.plan.weights_bytes if status.plan else None,
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
