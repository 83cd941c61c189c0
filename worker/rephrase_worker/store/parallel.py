"""Many small operations at once: an object store answers each of them in a tenth of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_parallel(threads: int, function: Callable[..., T], *arguments: Iterable[object]) -> list[T]:
    """Like `list(map(function, *arguments))`, in so many threads. Raises the first error in order.

    When one call fails, or SIGTERM ends the wait, the calls that have not begun are dropped and those under
    way are not waited for: one that hangs on a store must not hold up the end of the process.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        return list(pool.map(function, *arguments))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
