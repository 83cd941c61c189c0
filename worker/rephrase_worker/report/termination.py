"""The container's termination message: the last report of a worker, readable after SIGKILL.

The kubelet mounts the file into the container, so it can be rewritten, but not replaced by a rename. The
kubelet reads at most 4 KiB and the operator at most 2, so a report that is too long loses details.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial

from rephrase_worker.spec import (
    TERMINATION_LIMIT_BYTES,
    FinalReport,
    MixReport,
    PlanReport,
    Report,
    ShardGroup,
    ShardReport,
)

log = logging.getLogger(__name__)

_Measured = ShardReport | FinalReport
"""Reports that tell of the quality of texts."""


def fit(report: Report, limit: int = TERMINATION_LIMIT_BYTES) -> bytes:
    """The report as JSON of at most `limit` bytes. What is too long is cut step by step, details first."""
    data = report.to_json().encode()
    while len(data) > limit:
        excess = len(data) - limit
        shorter = next((cut for step in _CUTS if (cut := step(report, excess)) is not None), None)
        if shorter is None:
            raise ValueError(f"a report of {len(data)} bytes can't be cut to {limit}")
        report = shorter
        data = report.to_json().encode()
    return data


def _fewer_openings(report: Report, _: int) -> Report | None:
    """Half of each prompt's openings, if one of them has two."""
    if not isinstance(report, _Measured) or all(len(one.openings) < 2 for one in report.quality.values()):
        return None
    return _with_openings(
        report,
        {
            name: dict(list(each.openings.items())[: max(1, len(each.openings) // 2)])
            for name, each in report.quality.items()
        },
    )


def _without_an_opening(report: Report, _: int) -> Report | None:
    """The last opening of the prompt whose texts are the most varied."""
    if not isinstance(report, _Measured):
        return None
    left = {name: each for name, each in report.quality.items() if each.openings}
    if not left:
        return None
    varied = min(left, key=lambda name: max(left[name].openings.values()) / max(1, left[name].samples))
    return _with_openings(report, {varied: {}})


def _without_a_prompt(report: Report, _: int) -> Report | None:
    """Without the quality of the last prompt."""
    if not isinstance(report, _Measured) or not report.quality:
        return None
    return report.model_copy(update={"quality": dict(list(report.quality.items())[:-1])})


def _with_openings(report: _Measured, openings: Mapping[str, dict[str, int]]) -> Report:
    quality = {
        name: each.model_copy(update={"openings": openings[name]}) if name in openings else each
        for name, each in report.quality.items()
    }
    return report.model_copy(update={"quality": quality})


def _shorter_message(report: Report, excess: int, *, least: int) -> Report | None:
    """The failure's message, cut to no fewer characters than `least`."""
    failure = report.failure
    if failure is None or len(failure.message) <= least:
        return None
    # A character takes at most 6 bytes of JSON. Cutting the excess again and again ends after a few rounds.
    keep = max(least, len(failure.message) - max(1, excess // 6) - 1)
    shorter = failure.message[: keep - 1] + "…" if keep > 1 else "…"
    return report.model_copy(update={"failure": failure.model_copy(update={"message": shorter})})


def _fewer_errors(report: Report, _: int) -> Report | None:
    """The more frequent half of the errors."""
    if not isinstance(report, ShardReport) or not report.errors:
        return None
    kept = sorted(report.errors.items(), key=lambda item: -item[1])[: len(report.errors) // 2]
    return report.model_copy(update={"errors": dict(kept)})


def _fewer_shares(report: Report, _: int) -> Report | None:
    """Without the share of the last prompt in a mix."""
    if not isinstance(report, MixReport) or not report.shares:
        return None
    return report.model_copy(update={"shares": dict(list(report.shares.items())[:-1])})


def _fewer_shard_groups(report: Report, _: int) -> Report | None:
    """Neighbouring groups of shards joined in pairs, with the mean of their sizes."""
    if not isinstance(report, PlanReport) or report.statistics is None or len(report.statistics.shards) < 2:
        return None
    groups = report.statistics.shards
    pairs = [groups[at : at + 2] for at in range(0, len(groups), 2)]
    joined = [
        ShardGroup(
            shards=(shards := sum(group.shards for group in pair)),
            documents=round(sum(group.shards * group.documents for group in pair) / max(1, shards), 1),
        )
        for pair in pairs
    ]
    statistics = report.statistics.model_copy(update={"shards": joined})
    return report.model_copy(update={"statistics": statistics})


def _shorter_plan_text(report: Report, _: int, *, field: str) -> Report | None:
    """Half of a text of the plan's report."""
    text = getattr(report, field) if isinstance(report, PlanReport) else None
    if not text:
        return None
    return report.model_copy(update={field: text[: len(text) // 2] or None})


_CUTS: tuple[Callable[[Report, int], Report | None], ...] = (
    _fewer_openings,
    partial(_shorter_message, least=600),
    _without_an_opening,
    partial(_shorter_message, least=1),
    _fewer_errors,
    _fewer_shares,
    _without_a_prompt,
    _fewer_shard_groups,
    partial(_shorter_plan_text, field="skipped"),
    partial(_shorter_plan_text, field="model_asked"),
)
"""What is given up, in this order, until a report fits."""


class TerminationMessage:
    """The file, rewritten in place. Without a path nothing is written."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> TerminationMessage:
        """The file that $TERMINATION_MESSAGE_PATH names."""
        return cls(environment.get("TERMINATION_MESSAGE_PATH"))

    def write(self, report: Report) -> None:
        """Replace the content in one write. A failure is logged and does not stop the worker."""
        if self._path is None:
            return
        data = fit(report)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                # A reader must never find half a report. So the new one is padded with blanks, which JSON
                # allows, to the length of the old one and written over it. The blanks are cut off after that.
                size = os.fstat(descriptor).st_size
                os.pwrite(descriptor, data.ljust(min(size, TERMINATION_LIMIT_BYTES)), 0)
                os.ftruncate(descriptor, len(data))
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("the termination message can't be written to %s: %s", self._path, error.strerror)
