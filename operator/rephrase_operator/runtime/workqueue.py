"""A queue of jobs that need a pass, and when. A job is in it only once, however often it is added."""

from __future__ import annotations

import asyncio

from rephrase_operator.cluster.mirror import Key


class WorkQueue:
    """Keys with the time at which they are due, in the event loop's time."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._taken: dict[Key, float] = {}
        self._changed = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Make a key due in `delay` seconds, unless it is due earlier already."""
        at = asyncio.get_running_loop().time() + delay
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self._changed.set()

    def depth(self) -> int:
        """How many keys are due and not in work."""
        now = asyncio.get_running_loop().time()
        return sum(at <= now and key not in self._taken for key, at in self._due.items())

    async def take(self) -> Key:
        """The next key that is due and not in work. Give it back with `done`."""
        loop = asyncio.get_running_loop()
        while True:
            free = [(at, key) for key, at in self._due.items() if key not in self._taken]
            at, key = min(free, default=(None, None))
            if at is not None and key is not None and at <= loop.time():
                del self._due[key]
                self._taken[key] = loop.time()
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout_at(at):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: Key) -> None:
        """Give a key back, so that it can be taken again."""
        del self._taken[key]
        self._changed.set()

    def longest_pass(self) -> float:
        """For how many seconds the slowest pass has been running."""
        now = asyncio.get_running_loop().time()
        return max((now - since for since in self._taken.values()), default=0.0)
