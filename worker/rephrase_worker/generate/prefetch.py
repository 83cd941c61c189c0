"""Stages in threads: an iterable that runs ahead of its consumer, by a bounded number of items.

A stage is a plain iterable, like DataTrove's pipeline steps. `Prefetch` runs one in a daemon thread of its
own. So reading and tokenizing overlap with generation, and a file system that hangs can't keep the process
from ending.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterate `items` in a thread, at most `ahead` items ahead.

    An exception of the source is raised where its item would have come. `close` ends the stage:
    the source is not asked for another item, and a consumer that waits gets StopIteration.
    """

    def __init__(self, items: Iterable[T], *, ahead: int, name: str) -> None:
        if ahead < 1:
            raise ValueError("ahead has to be at least 1")
        self._source = items
        self._ahead = ahead
        self._ready: deque[T] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._source:
                if not self._put(item):
                    break
        # Handed over to the consumer's thread, which raises it.
        except BaseException as caught:  # noqa: BLE001
            error = caught
        with self._changed:
            self._error = self._error or error
            self._ended = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._ready) < self._ahead)
            if self._ended:
                return False
            self._ready.append(item)
            self._changed.notify_all()
            return True

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)
            if self._ready:
                self._changed.notify_all()
                return self._ready.popleft()
            if self._error is not None:
                raise self._error
            raise StopIteration

    @property
    def exhausted(self) -> bool:
        """Whether every item of the source has been taken, so that the stage ended without `close`."""
        with self._changed:
            return self._ended and not self._closed and not self._ready and self._error is None

    def close(self) -> None:
        """End the stage without waiting for its thread, and drop what is ready. Can be called twice."""
        with self._changed:
            # Closing what has been taken to its end changes nothing.
            self._closed = self._closed or bool(self._ready) or not self._ended
            self._ready.clear()
            self._ended = True
            self._changed.notify_all()
