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


def add(counts: Mapping[str, int], names: Iterable[str], *, total: int, limit: int) -> dict[str, int]:
    """The counts with one more for each of the names; at most `limit` names and OTHER.

    `total` is what the counts should come to before the names are added. What is missing was counted by an
    operator that kept no such map, and becomes OTHER.
    """
    found = Counter(counts)
    found[OTHER] += max(0, total - sum(counts.values()))
    for name in names:
        known = name in found or (name and len(found) <= limit)
        found[name if known else OTHER] += 1
    return {name: count for name, count in found.items() if count}
