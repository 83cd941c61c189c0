"""What a pass decides: actions, the status to write, and Events to post. Plain data for `controller`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rephrase_operator.api.status import RephraseJobStatus
from rephrase_operator.reconcile.events import Event


@dataclass(frozen=True)
class CreateConfigMap:
    """Make the ConfigMap; it must not exist."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class PatchConfigMap:
    """Replace some of the ConfigMap's files."""

    name: str
    data: dict[str, str]


@dataclass(frozen=True)
class CreateJob:
    """Make a Job; it must not exist."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class PatchJob:
    """Change a Job's suspend or parallelism."""

    name: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class DeleteJob:
    """Remove a Job and its pods, if it is still the one with this UID."""

    name: str
    uid: str


@dataclass(frozen=True)
class DeleteRephraseJob:
    """Remove the RephraseJob itself; what it owns follows."""

    name: str
    uid: str


Action = CreateConfigMap | PatchConfigMap | CreateJob | PatchJob | DeleteJob | DeleteRephraseJob


@dataclass(frozen=True)
class Decision:
    """The outcome of a pass."""

    status: RephraseJobStatus
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    """Make another pass after this many seconds, even if nothing happens. None: only when something happens.
    """
