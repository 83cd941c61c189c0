"""Decides which changes of a status are written at once, and which wait for the next round of progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_VOLATILE = {"progress", "message", "replicas", "generating", "shards"}
"""Fields that change with every poll. (The account and `failures` have what is final about shards.)"""


def material(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """True if more has changed than counts, rates and sentences."""
    return _lasting(old) != _lasting(new)


def _lasting(status: Mapping[str, Any]) -> dict[str, Any]:
    lasting = {name: value for name, value in status.items() if name not in _VOLATILE}
    lasting["conditions"] = [
        {name: value for name, value in condition.items() if name != "message"}
        for condition in status.get("conditions", ())
    ]
    return lasting
