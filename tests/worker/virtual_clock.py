"""Time that passes only when nothing else can happen."""

from __future__ import annotations

import asyncio
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
        threads = _count_threads(asyncio.get_running_loop())
        task = asyncio.ensure_future(work)
        idle_turns = 0
        while not task.done():
            if threads:
                idle_turns = 0
                await asyncio.wait([task, *threads], return_when=asyncio.FIRST_COMPLETED)
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


def _count_threads(loop: asyncio.AbstractEventLoop) -> set[asyncio.Future[Any]]:
    """The calls of `asyncio.to_thread` whose end the loop has not seen yet, from now on.

    Counted on the loop: a thread's call is over some time before the loop hears of it, and time must not
    pass between the two.
    """
    pending: set[asyncio.Future[Any]] = set()
    run_in_executor = loop.run_in_executor

    def counted(executor: Any, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        future = run_in_executor(executor, function, *arguments)
        if executor is None:
            pending.add(future)
            future.add_done_callback(pending.discard)
        return future

    loop.run_in_executor = counted  # type: ignore[method-assign,assignment]
    return pending
