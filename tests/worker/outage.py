"""Destinations that fail for a while: faults below the store, in the file system of `memory://`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

READS = ("cat_file", "get_file", "info", "ls", "open")
WRITES = ("pipe_file", "put_file", "rm", "rm_file")

Fault = BaseException | None


class Outage:
    """Lets operations fail as `fails` says, for every store on `memory://` until the test ends.

    `fails` gets the number of the operation, from 1, and its name. It may return an error, to be raised
    before the operation, or with `after` once it has taken effect: then only its answer is lost.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        fails: Callable[[int, str], Fault],
        *,
        after: bool = False,
    ) -> None:
        self.fails = fails
        self.after = after
        self.operations = 0
        self.failures = 0
        self._lock = threading.Lock()
        self._inner = threading.local()
        for name in (*READS, *WRITES):
            monkeypatch.setattr(MemoryFileSystem, name, self._gate(name, getattr(MemoryFileSystem, name)))

    def _gate(self, name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(plain)
        def gated(*args: Any, **kwargs: Any) -> Any:
            # File systems build their operations from each other: only the outermost one is the store's.
            if getattr(self._inner, "busy", False):
                return plain(*args, **kwargs)
            self._inner.busy = True
            try:
                # One at a time: readers of one file on memory:// share its position.
                with self._lock:
                    return self._operate(name, lambda: plain(*args, **kwargs))
            finally:
                self._inner.busy = False

        return gated

    def _operate(self, name: str, operation: Callable[[], Any]) -> Any:
        self.operations += 1
        error = self.fails(self.operations, name)
        if error is None:
            return operation()
        if self.after:
            operation()
        self.failures += 1
        raise error


def down() -> Fault:
    """What a store that is overloaded or out of reach answers."""
    return OSError(16, "Please reduce your request rate.")
