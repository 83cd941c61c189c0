"""The container's termination message: the last report of a worker, readable after SIGKILL.

The kubelet mounts the file into the container, so it can be rewritten, but not replaced by a rename. The
kubelet reads at most 4 KiB and the operator at most 2, so a report that is too long loses details.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from rephrase_worker.spec import TERMINATION_LIMIT_BYTES, MixReport, Report, ShardReport

log = logging.getLogger(__name__)


def fit(report: Report, limit: int = TERMINATION_LIMIT_BYTES) -> bytes:
    """The report as JSON of at most `limit` bytes.

    First the failure's message is cut, then error counts and shares are dropped.
    """
    data = report.to_json().encode()
    while len(data) > limit:
        failure = report.failure
        if failure is not None and len(failure.message) > 1:
            # A character takes at most 6 bytes of JSON. Cutting the excess again and again ends after a few
            # rounds.
            keep = max(1, len(failure.message) - max(1, (len(data) - limit) // 6) - 1)
            shorter = failure.message[: keep - 1] + "…" if keep > 1 else "…"
            report = report.model_copy(update={"failure": failure.model_copy(update={"message": shorter})})
        elif isinstance(report, ShardReport) and report.errors:
            kept = sorted(report.errors.items(), key=lambda item: -item[1])[: len(report.errors) // 2]
            report = report.model_copy(update={"errors": dict(kept)})
        elif isinstance(report, MixReport) and report.shares:
            report = report.model_copy(update={"shares": dict(list(report.shares.items())[:-1])})
        else:
            raise ValueError(f"a report of {len(data)} bytes can't be cut to {limit}")
        data = report.to_json().encode()
    return data


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
