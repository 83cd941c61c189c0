"""The worker's time. It is monotonic, and passed in as an argument so that tests can use their own."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in seconds, and sleeping by it."""

    def now(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds; 0 yields to other tasks once."""

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Block this thread for this many seconds, or until `wake` is set."""


class MonotonicClock:
    """The machine's own monotonic clock."""

    def now(self) -> float:
        """Seconds since some moment before the process started."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Wait on the event. A signal handler may interrupt the wait by raising."""
        wake.wait(seconds)
