"""How long a command keeps trying while the destination fails.

Stores fail for seconds to minutes and come back: throttling, a failover, a full disk that somebody
empties. Samples that are finished cost GPU time, so they stay in hand until they are written. Every
operation of a `Store` runs through its patience: resuming, committing and merging wait by one rule.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from rephrase_worker.clock import Clock
from rephrase_worker.store.errors import may_pass

OUTAGE_SECONDS = 600.0
"""An operation that has failed for this long ends the command. A GPU may stand idle meanwhile, which costs
less than loading the model again and making what was in hand again, and a longer outage needs a person."""

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
"""The pause before the next attempt doubles from the first to the longest."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Whoever shows that the store fails."""

    def store_failed(self, *, writing: bool) -> None:
        """An attempt has failed; if there is time left, another one follows."""

    def store_works(self) -> None:
        """The operation that had failed has succeeded."""


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
        """What the last operation was given up with, until another one works."""

    def hurry(self, seconds: float) -> None:
        """Wait no more than this many seconds from now, all in all; who waits now tries again at once.

        Operations that begin later still get one attempt.
        """
        self._end = self._clock.now() + seconds
        self._hurried.set()

    def run(self, operation: str, attempt: Callable[[], T], *, writing: bool) -> T:
        """What `attempt` returns. Raises its last error, with a note on the outage.

        `attempt` must be safe to repeat after it took effect and its answer got lost.
        """
        began = self._clock.now()
        delays = _delays()
        for attempts in itertools.count(1):
            try:
                result = attempt()
            except Exception as error:
                if not may_pass(error):
                    raise
                now = self._clock.now()
                began = now if attempts == 1 else began
                if self._listener is not None:
                    self._listener.store_failed(writing=writing)
                if self._left(began, now) <= 0:
                    self._gave_up = self._gave_up or f"It failed {attempts} times in {now - began:.0f} s."
                    error.add_note(self._gave_up)
                    raise
                delay = min(next(delays), self._left(began, now))
                log.warning(
                    "%s failed, attempt=%d seconds=%.0f; the next attempt is in %.1f s: %s: %s",
                    operation,
                    attempts,
                    now - began,
                    delay,
                    type(error).__name__,
                    error,
                )
            else:
                self._gave_up = None
                if attempts > 1:
                    if self._listener is not None:
                        self._listener.store_works()
                    log.info("%s worked, attempt=%d", operation, attempts)
                return result
            if self._wait(delay):
                delays = _delays()
        raise AssertionError("an endless count has ended")

    def _left(self, began: float, now: float) -> float:
        """Seconds of patience that are left in an outage that began then.

        None after an operation was given up: what follows is the last of a command that ends, and must
        not wait for the same outage again.
        """
        if self._gave_up is not None:
            return 0.0
        end = began + self._outage_seconds
        return (end if self._end is None else min(end, self._end)) - now

    def _wait(self, seconds: float) -> bool:
        """Whether somebody asked to hurry meanwhile."""
        self._clock.wait(seconds, self._hurried)
        hurried = self._hurried.is_set()
        self._hurried.clear()
        return hurried


def _delays() -> Iterator[float]:
    delay = FIRST_DELAY_SECONDS
    while True:
        yield delay
        delay = min(2 * delay, LONGEST_DELAY_SECONDS)
