"""Adds up how long GPUs were held by worker pods, each second of each pod once.

The status remembers until when time was counted. A pass adds the part of every pod's running time that lies
after that moment, whatever became of the pod, and moves the moment. So neither a restart of the operator nor
a conflict of writes counts anything twice, and the status stays as small with ten thousand pods. Of a pod
that vanishes unseen, at most the time since the last pass is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from rephrase_operator.api.policies import Cost
from rephrase_operator.api.status import CostStatus
from rephrase_operator.observed.views import PodView


def spend(
    before: CostStatus | None, pods: Iterable[PodView], now: datetime, *, units: int, every: timedelta
) -> CostStatus | None:
    """What was spent until now. `units` is what a pod holds: its GPUs, or 1 on CPUs.

    While pods run, the status is written no more often than `every`. None: nothing has run yet.
    """
    pods = [pod for pod in pods if pod.started is not None]
    if before is not None and now - before.until < every and any(pod.live for pod in pods):
        return before
    seconds = sum(_seconds(pod, before.until if before else None, now) for pod in pods)
    if not seconds:
        return before
    total = (before.gpu_seconds if before else 0.0) + seconds * units
    return CostStatus(gpu_seconds=total, gpu_hours=round(total / 3600, 4), until=now)


def priced(spent: CostStatus | None, policy: Cost | None) -> CostStatus | None:
    """The same with its cost, at the present price."""
    if spent is None:
        return None
    price = policy.gpu_hour_price if policy else None
    cost = None if price is None else round(spent.gpu_seconds / 3600 * price, 4)
    currency = policy.currency if policy and price is not None else None
    return spent.model_copy(update={"cost": cost, "currency": currency})


def _seconds(pod: PodView, since: datetime | None, now: datetime) -> float:
    """Seconds that the pod ran since then. The end of a pod that was lost with its node is not known."""
    begin, end = pod.started, pod.ended if pod.ended is not None else now if pod.live else since
    if begin is None or end is None:
        return 0.0
    begin = begin if since is None else max(begin, since)
    return max(0.0, (min(end, now) - begin).total_seconds())
