"""Remembers which failed pods have been counted, so that each counts once, however often it is seen.

Pods stay visible for hours after they have ended, and then vanish at any time. So the status remembers for
every open shard when its last pod ended. A pod that ended later is new. Kubernetes' times have no fractions
of a second, so the number of pods that ended in that second is kept as well.

Shards that are finished or abandoned need no entry, because their pods are not looked at again. So the ledger
is as small as the number of workers, however many shards there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rephrase_operator.observed.intervals import Intervals
from rephrase_operator.observed.views import PodView


@dataclass(frozen=True, slots=True)
class Ended:
    """What has happened to a shard's pods so far."""

    attempts: int
    """Attempts that failed."""
    last: datetime
    """When the last pod ended."""
    together: int = 1
    """Number of pods that ended in that second."""


Ledger = dict[int, Ended]
"""By shard."""


def parse(text: str) -> Ledger:
    """Parse `7:2@6957a3c0*2,9:0@6957a3d1`. Raises ValueError for anything else."""
    found: Ledger = {}
    for entry in filter(None, text.split(",")):
        shard, _, rest = entry.partition(":")
        attempts, _, moment = rest.partition("@")
        seconds, _, together = moment.partition("*")
        last = datetime.fromtimestamp(int(seconds, 16), UTC)
        found[int(shard)] = Ended(int(attempts), last, int(together or 1))
    return found


def render(ledger: Ledger, limit: int) -> str:
    """The reverse of `parse`. Above `limit` characters the shards with the fewest attempts are left out."""
    kept: list[tuple[int, str]] = []
    length = 0
    for shard, ended in sorted(ledger.items(), key=lambda item: (-item[1].attempts, item[0])):
        together = f"*{ended.together}" if ended.together > 1 else ""
        entry = f"{shard}:{ended.attempts}@{int(ended.last.timestamp()):x}{together}"
        length += len(entry) + 1
        if length > limit:
            break
        kept.append((shard, entry))
    return ",".join(entry for _, entry in sorted(kept))


def end_of(pod: PodView) -> datetime:
    """When a pod ended, according to Kubernetes."""
    return (pod.ended or pod.created).replace(microsecond=0)


def take(ledger: Ledger, pods: Iterable[PodView], settled: Intervals) -> tuple[Ledger, tuple[PodView, ...]]:
    """The ledger with every pod that ended without success, and the new ones among these pods.

    Pods of `settled` shards were counted while these shards were open.
    """
    taken, fresh = dict(ledger), []
    by_end: dict[tuple[int, datetime], list[PodView]] = {}
    for pod in pods:
        if pod.phase == "Failed" and pod.index is not None and pod.index not in settled:
            by_end.setdefault((pod.index, end_of(pod)), []).append(pod)
    for (shard, moment), together in sorted(by_end.items(), key=lambda item: item[0]):
        known = taken.get(shard)
        if known is not None and moment < known.last:
            continue
        counted = known.together if known is not None and known.last == moment else 0
        new = sorted(together, key=lambda pod: (pod.created, pod.name))[counted:]
        if not new:
            continue
        fresh += new
        attempts = known.attempts if known is not None else 0
        taken[shard] = Ended(
            attempts + sum(pod.counts_as_failure for pod in new), moment, max(counted, len(together))
        )
    return taken, tuple(fresh)
