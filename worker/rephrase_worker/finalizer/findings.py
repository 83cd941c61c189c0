"""What card and report show beside the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from rephrase_worker.finalizer.examples import Example
from rephrase_worker.mixes import MixAccount
from rephrase_worker.pace import Pace
from rephrase_worker.quality.report import QualityReport


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is known of a dataset; each may be unknown for one that an earlier version has made."""

    pace: Pace | None = None
    quality: QualityReport | None = None
    examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    """Texts by prompt."""
    schema: pa.Schema | None = None
    """Of the final files; None when no shard is finished."""
    mix: MixAccount | None = None
