"""Time that passes only when nothing else can happen."""

from __future__ import annotations

import asyncio
import concurrent.futures
import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

TURNS = 8
"""Turns of the loop in which an awakened task has surely begun what it does next."""


class VirtualClock:
    """A `Clock` whose sleepers wake in the order of their deadlines, at once.

    While the loop waits for a thread (`asyncio.to_thread`), time stands still.
    """

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, next(self._numbers), future))
        await future

    async def run(self, work: Awaitable[T]) -> T:
        """Run to the end, and let time jump to the next deadline whenever the loop has had its turn."""
        threads = _CountingExecutor()
        asyncio.get_running_loop().set_default_executor(threads)
        task = asyncio.ensure_future(work)
        idle_turns = 0
        while not task.done():
            if threads.pending:
                idle_turns = 0
                waiting = [asyncio.wrap_future(future) for future in list(threads.pending)]
                await asyncio.wait([task, *waiting], return_when=asyncio.FIRST_COMPLETED)
            elif idle_turns < TURNS:
                idle_turns += 1
                await asyncio.sleep(0)
            else:
                idle_turns = 0
                self._wake_next()
        return task.result()

    def _wake_next(self) -> None:
        while self._sleepers:
            deadline, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.time = max(self.time, deadline)
                future.set_result(None)
                return


class _CountingExecutor(concurrent.futures.ThreadPoolExecutor):
    """Knows which of its calls have not returned."""

    def __init__(self) -> None:
        super().__init__(max_workers=4)
        self._loop = asyncio.get_running_loop()
        self.pending: set[concurrent.futures.Future[Any]] = set()

    def submit(
        self, function: Callable[..., T], /, *arguments: Any, **named: Any
    ) -> concurrent.futures.Future[T]:
        future = super().submit(function, *arguments, **named)
        self.pending.add(future)
        # On the loop, before what waits for the call: else time could pass between the two.
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self.pending.discard, done))
        return future
