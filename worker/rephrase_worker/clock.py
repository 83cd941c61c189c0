"""The worker's time, passed in as an argument so that tests can use their own.

Durations and deadlines go by the monotonic clock. The wall clock may jump: it only says when something was.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in seconds, sleeping by it, and the time of day."""

    def now(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""

    def moment(self) -> float:
        """Seconds since 1970 UTC by the wall clock: for people, never for durations."""

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds; 0 yields to other tasks once."""

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Block this thread for this many seconds, or until `wake` is set."""


class MonotonicClock:
    """The machine's own monotonic clock."""

    def now(self) -> float:
        """Seconds since some moment before the process started."""
        return time.monotonic()

    def moment(self) -> float:
        """The machine's idea of the time of day."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Wait on the event. A signal handler may interrupt the wait by raising."""
        wake.wait(seconds)
