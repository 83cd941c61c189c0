"""How long a command keeps trying while the destination fails.

Stores fail for seconds or minutes and come back: they throttle, fail over, or have a full disk until somebody
empties it. Finished samples have cost GPU time, so the worker keeps them until they are written. Every
operation of a `Store` goes through its patience, so resuming, committing and merging wait by the same rule.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from rephrase_worker.clock import Clock
from rephrase_worker.store.errors import describe, may_pass

OUTAGE_SECONDS = 600.0
"""An operation that has failed for this long ends the command. A GPU may be idle meanwhile. That costs less
than loading the model and generating the unwritten samples again. A longer outage needs a person."""

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
"""Pauses between attempts: each is twice as long as the one before, up to the longest."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Somebody who reports that the store fails."""

    def store_failed(self, *, writing: bool) -> None:
        """An attempt has failed. If there is time left, there will be another one."""

    def store_works(self) -> None:
        """The operation has succeeded after failing."""


def _delays() -> Iterator[float]:
    delay = FIRST_DELAY_SECONDS
    while True:
        yield delay
        delay = min(2 * delay, LONGEST_DELAY_SECONDS)


@dataclass
class _Outage:
    """An operation and how often it has failed."""

    operation: str
    writing: bool
    began: float = 0.0
    """When it failed for the first time."""
    failures: int = 0
    delays: Iterator[float] = field(default_factory=_delays)


class Patience:
    """Repeats operations that fail until they succeed or the outage is too long. For several threads."""

    def __init__(
        self, clock: Clock, listener: Listener | None = None, *, outage_seconds: float = OUTAGE_SECONDS
    ) -> None:
        self._clock = clock
        self._listener = listener
        self._outage_seconds = outage_seconds
        self._end: float | None = None
        self._hurried = threading.Event()
        self._gave_up: str | None = None
        """The error with which the last operation was given up; None once another one succeeds."""

    def hurry(self, seconds: float) -> None:
        """From now on wait for at most this many seconds in all. Operations that wait now try again at once.

        Operations that begin later still get one attempt.
        """
        self._end = self._clock.now() + seconds
        self._hurried.set()

    def run(self, operation: str, attempt: Callable[[], T], *, writing: bool) -> T:
        """Returns what `attempt` returns. Raises its last error, with a note on the outage.

        `attempt` must be safe to repeat, also if it took effect and only its answer got lost.
        """
        outage = _Outage(operation, writing)
        while True:
            try:
                result = attempt()
            except Exception as error:
                if not may_pass(error):
                    raise
                self._failed(outage, error)
            else:
                self._worked(outage)
                return result

    def _failed(self, outage: _Outage, error: Exception) -> None:
        """Return when it is time for the next attempt. Raises the error when there is none."""
        now = self._clock.now()
        outage.failures += 1
        outage.began = now if outage.failures == 1 else outage.began
        if self._listener is not None:
            self._listener.store_failed(writing=outage.writing)
        left, lasted = self._left(outage, now), now - outage.began
        if left <= 0:
            self._gave_up = self._gave_up or f"It failed {outage.failures} times in {lasted:.0f} s."
            error.add_note(self._gave_up)
            raise error
        delay = min(next(outage.delays), left)
        log.warning(
            "%s failed, attempt=%d seconds=%.0f; the next attempt is in %.1f s: %s",
            outage.operation,
            outage.failures,
            lasted,
            delay,
            describe(error),
        )
        if self._wait(delay):
            outage.delays = _delays()

    def _worked(self, outage: _Outage) -> None:
        self._gave_up = None
        if outage.failures:
            if self._listener is not None:
                self._listener.store_works()
            log.info("%s worked, attempt=%d", outage.operation, outage.failures + 1)

    def _left(self, outage: _Outage, now: float) -> float:
        """Seconds of patience that are left.

        0 after an operation was given up: the command is about to end, and its last operations must not
        wait for the same outage once more.
        """
        if self._gave_up is not None:
            return 0.0
        end = outage.began + self._outage_seconds
        return (end if self._end is None else min(end, self._end)) - now

    def _wait(self, seconds: float) -> bool:
        """Whether somebody asked to hurry meanwhile."""
        self._clock.wait(seconds, self._hurried)
        hurried = self._hurried.is_set()
        self._hurried.clear()
        return hurried
