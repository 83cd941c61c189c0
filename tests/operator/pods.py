"""Pods of a step at a glance: `running(0)`, `failed(1, at=5)`. Times are minutes after START."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rephrase_operator.observed.views import PodView
from tests.operator.builders import START


def at(minutes: float) -> datetime:
    """So many minutes after START."""
    return START + timedelta(minutes=minutes)


def _pod(shard: int, name: str, created: float, **fields: Any) -> PodView:
    return PodView(
        namespace="default",
        name=name or f"shard-{shard}",
        uid=name or f"shard-{shard}",
        job="books",
        job_uid="uid-1",
        step="generate",
        index=shard,
        created=at(created),
        **fields,
    )


def pending(shard: int = 0, *, since: float = 0, name: str = "") -> PodView:
    """A pod that waits for a node or an image."""
    return _pod(shard, name, since, phase="Pending")


def running(shard: int = 0, *, since: float = 0, gone_by: float | None = None, name: str = "") -> PodView:
    """A pod that runs; with `gone_by` it was told to stop and has until then."""
    until = None if gone_by is None else at(gone_by)
    return _pod(shard, name, since, phase="Running", started=at(since), gone_by=until)


def failed(
    shard: int = 0,
    *,
    ended: float,
    since: float = 0,
    name: str = "",
    exit_code: int | None = 69,
    ran: bool = True,
    termination: str = "",
) -> PodView:
    """A pod that has failed; exit code 75 is a worker that was told to stop."""
    return _pod(
        shard,
        name,
        since,
        phase="Failed",
        started=at(since) if ran else None,
        ended=at(ended),
        exit_code=exit_code,
        end_reason="Error",
        termination=termination,
    )


def succeeded(shard: int = 0, *, ended: float, since: float = 0, name: str = "") -> PodView:
    """A pod that has finished its shard."""
    return _pod(shard, name, since, phase="Succeeded", started=at(since), ended=at(ended), exit_code=0)
