"""Counts by name in a map that must not grow, and that become Prometheus counters.

A map of the most frequent names would not do. A name that falls out of it and comes back later makes its
counter start again, and Prometheus takes that for a reset and counts everything twice. So the first names are
kept for good, and everything else is counted as `other`. No count ever falls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

OTHER = "other"
"""Counts what has no name, and all names beyond the limit."""


def grown(before: Mapping[str, int], now: Mapping[str, int], *, total: int, limit: int) -> dict[str, int]:
    """The counts as they are `now`, or as they were `before` where that is more; at most `limit` names.

    `total` is what they should come to. What is missing becomes OTHER, because nobody has given it a name.
    """
    kept = {name: count for name, count in before.items() if name != OTHER}
    for name, count in now.items():
        if name in kept or (name not in ("", OTHER) and len(kept) < limit):
            kept[name] = max(kept.get(name, 0), count)
    rest = max(before.get(OTHER, 0), total - sum(kept.values()))
    return kept | ({OTHER: rest} if rest else {})


def add(before: Mapping[str, int], names: Iterable[str], *, total: int, limit: int) -> dict[str, int]:
    """The counts with one more for each of the names. `total` is what they should come to then."""
    now = Counter(before)
    now.update(names)
    return grown(before, now, total=total, limit=limit)
