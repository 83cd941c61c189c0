"""Which files are one commit, and how often there may be one.

The Hub takes fewer than 100 files a commit well, and about 128 commits an hour and repository before it
answers 429 (Hub documentation, "Repository limitations and recommendations").
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

from rephrase_worker.clock import Clock
from rephrase_worker.store import StoredFile

FILES_A_COMMIT = 50
BYTES_A_COMMIT = 4 * 2**30
"""Limits of a commit. The pod's disk has to hold as many bytes, and a lost answer repeats as much work."""

COMMITS_AN_HOUR = 100
"""Fewer than the Hub allows, because people and other tools commit to the same repository."""


def batches(
    files: Iterable[StoredFile], *, most_files: int = FILES_A_COMMIT, most_bytes: int = BYTES_A_COMMIT
) -> Iterator[list[StoredFile]]:
    """The files in their order, in groups within both limits. A file above the limit is a group of its
    own.
    """
    group: list[StoredFile] = []
    for file in files:
        full = len(group) == most_files or sum(other.size for other in group) + file.size > most_bytes
        if group and full:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


class Pace:
    """Lets at most `most` turns begin within any `seconds`."""

    def __init__(self, clock: Clock, *, most: int = COMMITS_AN_HOUR, seconds: float = 3600.0) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._turns: deque[float] = deque(maxlen=most)

    def wait(self) -> None:
        """Return when the next turn may begin; it begins then."""
        if len(self._turns) == self._most:
            left = self._turns[0] + self._seconds - self._clock.now()
            if left > 0:
                self._clock.wait(left, threading.Event())
        self._turns.append(self._clock.now())
