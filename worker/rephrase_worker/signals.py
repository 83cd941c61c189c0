"""SIGTERM: how Kubernetes asks a worker to stop.

As a container's first process a worker that handles nothing would not even notice: the kernel drops
signals without a handler there, and SIGKILL comes when the grace period is over.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """SIGTERM came and nothing was under way that needs an orderly end.

    Not an Exception, so that code which handles those does not swallow it.
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
    """Handler that breaks off whatever the main thread does."""
    raise Terminated
