"""A store whose process dies at a chosen operation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rephrase_worker.store import Store

T = TypeVar("T")


class KilledError(BaseException):
    """Stands for SIGKILL: no handler of the code under test may stop it."""


class FaultyStore(Store):
    """Dies at operation number `at`, just before it or just after it took effect.

    After that every operation fails, as nothing runs in a dead process.
    """

    def __init__(self, uri: str, *, at: int, after: bool) -> None:
        super().__init__(uri)
        self._left = at
        self._after = after

    def _step(self, operation: Callable[[], T]) -> T:
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._after):
            raise KilledError
        result = operation()
        if self._left == 0:
            raise KilledError
        return result

    def create(self, path: str, data: bytes) -> bool:
        return self._step(lambda: super(FaultyStore, self).create(path, data))

    def create_from_file(self, path: str, local: Path) -> bool:
        return self._step(lambda: super(FaultyStore, self).create_from_file(path, local))

    def replace(self, path: str, data: bytes) -> None:
        self._step(lambda: super(FaultyStore, self).replace(path, data))

    def read(self, path: str) -> bytes:
        return self._step(lambda: super(FaultyStore, self).read(path))

    def fetch(self, path: str, local: Path) -> None:
        self._step(lambda: super(FaultyStore, self).fetch(path, local))

    def exists(self, path: str) -> bool:
        return self._step(lambda: super(FaultyStore, self).exists(path))

    def list(self, folder: str) -> list[str]:
        return self._step(lambda: super(FaultyStore, self).list(folder))

    def remove_tree(self, folder: str) -> None:
        self._step(lambda: super(FaultyStore, self).remove_tree(folder))
