"""Time that passes only when nothing else can happen."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

REAL_SECONDS = 1 / 300
"""What a second of a `FastClock` takes."""

MOMENT = 1_800_000_000.0
"""The wall clock when a test's own clock shows 0."""

TURNS = 8
"""Turns of the loop in which an awakened task has surely begun what it does next."""


class VirtualClock:
    """A `Clock` whose sleepers wake in the order of their deadlines, at once.

    While a thread that the loop has started works, time stands still; while it waits by this clock, time
    passes.
    """

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._waiting = 0
        self._wait_began = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        return self.time

    def moment(self) -> float:
        return MOMENT + self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time + seconds, next(self._numbers), future))
        await future

    def wait(self, seconds: float, wake: threading.Event) -> None:
        assert self._loop is not None, "threads wait while the loop runs"
        asyncio.run_coroutine_threadsafe(self._wait(seconds, wake), self._loop).result()

    async def _wait(self, seconds: float, wake: threading.Event) -> None:
        """Looks at the event every second of virtual time."""
        self._waiting += 1
        self._wait_began.set()
        end = self.time + seconds
        try:
            while self.time < end and not wake.is_set():
                await self.sleep(min(1.0, end - self.time))
        finally:
            self._waiting -= 1

    async def run(self, work: Awaitable[T]) -> T:
        """Run to the end, and let time jump to the next deadline whenever the loop has had its turn."""
        self._loop = asyncio.get_running_loop()
        threads = _count_threads(self._loop)
        task = asyncio.ensure_future(work)
        idle_turns = 0
        while not task.done():
            if len(threads) > self._waiting:
                idle_turns = 0
                self._wait_began.clear()
                began = asyncio.ensure_future(self._wait_began.wait())
                await asyncio.wait([task, began, *threads], return_when=asyncio.FIRST_COMPLETED)
                began.cancel()
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
    """The calls in threads (`asyncio.to_thread` and executors) whose end the loop has not seen yet.

    Counted on the loop: a thread's call is over some time before the loop hears of it, and time must not
    pass between the two.
    """
    pending: set[asyncio.Future[Any]] = set()
    run_in_executor = loop.run_in_executor

    def counted(executor: Any, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        future = run_in_executor(executor, function, *arguments)
        pending.add(future)
        future.add_done_callback(pending.discard)
        return future

    loop.run_in_executor = counted  # type: ignore[method-assign,assignment]
    return pending


class FastClock:
    """A `Clock` for tests of whole commands with real threads: a second is over in a few milliseconds.

    Time passes by sleeping and waiting alone. So a machine that is busy with something else stops the clock
    too, and no deadline passes by that.
    """

    def __init__(self) -> None:
        self._time = 1000.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._time

    def moment(self) -> float:
        return MOMENT + self._time

    async def sleep(self, seconds: float) -> None:
        end = self._time + seconds
        await asyncio.sleep(seconds * REAL_SECONDS)
        self._pass(end)

    def wait(self, seconds: float, wake: threading.Event) -> None:
        end = self._time + seconds
        if not wake.wait(seconds * REAL_SECONDS):
            self._pass(end)

    def _pass(self, until: float) -> None:
        with self._lock:
            self._time = max(self._time, until)
