"""The window of requests in flight: how many requests the engine has at once."""

from __future__ import annotations

import asyncio


def default_limit(max_num_seqs: int) -> int:
    """A little more than the scheduler can run, so that a next request is always waiting."""
    return max_num_seqs + max(8, max_num_seqs // 8)


class Window:
    """Counts requests in flight, and lets admission wait. Used on one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = True
        self._changed = asyncio.Event()
        self.in_flight = 0

    def enter(self, requests: int) -> None:
        """Count a document's requests. They go in together, so they may exceed the limit."""
        self.in_flight += requests

    def leave(self) -> None:
        """Count a request that has ended."""
        self.in_flight -= 1
        self._changed.set()

    def set_open(self, is_open: bool) -> None:
        """A closed window has no room, whatever is in flight."""
        self._open = is_open
        self._changed.set()

    async def room(self) -> None:
        """Return when there is room for another document."""
        while self.in_flight >= self._limit or not self._open:
            await self._wait()

    async def drained(self) -> None:
        """Return when nothing is in flight."""
        while self.in_flight:
            await self._wait()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
