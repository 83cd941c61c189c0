"""SIGTERM: how Kubernetes asks a worker to stop.

The first process of a container gets no signal that it has no handler for: the kernel drops it. A worker
without a handler would never notice SIGTERM, and would be killed when the grace period is over.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """SIGTERM came while nothing ran that needs an orderly end.

    It is a BaseException, so that `except Exception` does not swallow it.
    """


@contextmanager
def on_sigterm(handle: Callable[[], None]) -> Iterator[None]:
    """Call `handle` in the main thread when SIGTERM comes. Only for the main thread."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        handle()

    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def terminate() -> None:
    """Handler that interrupts whatever the main thread does."""
    raise Terminated
