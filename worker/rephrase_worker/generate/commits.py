"""Finished samples from the moment they are made until the sink has written them.

All calls of the sink run in one thread of their own, so that the window of requests never drains during a
commit. While the store fails, that thread waits in the sink for the next attempt. The engine goes on
meanwhile, until the uncommitted samples fill the memory that is set aside for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from rephrase_worker.clock import Clock
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.samples import Sample
from rephrase_worker.spec import ExitCode, Reason, WorkerError
from rephrase_worker.store.patience import OUTAGE_SECONDS

COMMIT_BYTES = 64 * 1024 * 1024
"""About this many bytes of finished samples are committed without waiting for the interval."""
UNCOMMITTED_BYTES = 4 * COMMIT_BYTES
"""With more bytes of finished samples than this, no request is admitted: the store fails, or is slower than
the engine. The commit that is under way holds at most as many again."""
SAMPLE_BYTES = 1024
"""Bytes that a sample takes beside its text until it is committed (measured). Errors have no text."""

LAST_COMMIT_SECONDS = 7.0
"""For the last commit, after the grace period of requests in flight. The operator leaves 10 until SIGKILL."""
STUCK_SECONDS = OUTAGE_SECONDS + 300.0
"""A commit under way for this long is stuck: the sink's patience and a last attempt of five minutes."""

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where finished samples go."""

    def commit(self, samples: Sequence[Sample]) -> None:
        """Write the samples as one segment. Waits while the store fails; raises WorkerError in the end."""

    def finished(self) -> bool:
        """Whether another worker on this shard has finished it."""

    def hurry(self, seconds: float) -> None:
        """From now on, wait at most this many seconds for a store that fails."""


class TwinFinishedError(Exception):
    """Another worker has finished this shard, so there is nothing left to do."""


class Commits:
    """Holds finished samples and commits them to the sink. Used on one event loop."""

    def __init__(
        self,
        sink: Sink,
        *,
        progress: ShardProgress,
        clock: Clock,
        interval_seconds: float,
        on_commit: Callable[[], None],
        on_room: Callable[[bool], None],
    ) -> None:
        """`on_commit` runs in the sink's thread after a commit. `on_room` is told whether there is room for
        more.
        """
        self._sink = sink
        self._progress = progress
        self._clock = clock
        self._interval = interval_seconds
        self._on_commit = on_commit
        self._on_room = on_room
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sink")
        self._finished: list[Sample] = []
        self._finished_bytes = 0
        self._last = clock.now()
        self._end: float | None = None
        self._under_way: asyncio.Future[None] | None = None
        # Two counts, because each of them is changed by one thread only.
        self._taken = 0
        self._written = 0

    def add(self, samples: Sequence[Sample]) -> None:
        """Accept finished samples."""
        self._finished += samples
        self._finished_bytes += sum(map(_size, samples))
        self._taken += len(samples)
        self._on_room(self._finished_bytes < UNCOMMITTED_BYTES)

    @property
    def uncommitted(self) -> int:
        """Number of samples that are not known to be in a segment."""
        return self._taken - self._written

    @property
    def due(self) -> bool:
        """Whether it is time for a commit."""
        waited = self._clock.now() - self._last
        return waited >= self._interval or self._finished_bytes >= COMMIT_BYTES

    def begin(self) -> None:
        """Start to commit all samples, unless a commit is under way.

        Raises what the last commit raised, and WorkerError(OUTPUT_NOT_WRITABLE) when the store has not
        answered it for too long.
        """
        if self._under_way is not None:
            if not self._under_way.done():
                self._check_answer()
                return
            self._under_way.result()
        self._start()

    async def all(self) -> None:
        """Wait for a commit that is under way, then commit all samples, even if that commit has failed."""
        try:
            if self._under_way is not None:
                await self._answer(self._under_way)
        except WorkerError:
            if self._finished and self._under_way is not None and self._under_way.done():
                await self._answer(self._start())
            raise
        if self._finished:
            await self._answer(self._start())

    def hurry(self, seconds: float) -> None:
        """The worker ends: be done with all commits in so many seconds, and a little more."""
        self._sink.hurry(seconds)
        self._end = self._clock.now() + seconds + LAST_COMMIT_SECONDS

    async def _answer(self, commit: asyncio.Future[None]) -> None:
        """Wait for the commit, but no longer than `_check_answer` allows."""
        while not commit.done():
            self._check_answer()
            pause = asyncio.ensure_future(self._clock.sleep(1.0))
            await asyncio.wait({commit, pause}, return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()
        commit.result()

    def _check_answer(self) -> None:
        """Raises when a commit is under way for so long that its thread must be stuck in the store.

        The sink gives up by itself, but only between two attempts: a network file system whose server is
        gone, or a connection that is cut without a word, may keep one attempt for ever.
        """
        now = self._clock.now()
        end = self._last + STUCK_SECONDS
        if now >= (end if self._end is None else min(end, self._end)):
            raise WorkerError(
                Reason.OUTPUT_NOT_WRITABLE,
                f"The output has not answered a commit for {now - self._last:.0f} s. Look at the network "
                "and the store; the shard goes on from its last commit.",
                exit_code=ExitCode.INTERNAL,
            )

    def close(self) -> None:
        """Take no more commits. Does not wait for the thread."""
        self._thread.shutdown(wait=False)

    def _start(self) -> asyncio.Future[None]:
        """Hand the finished samples to the sink's thread."""
        self._last = self._clock.now()
        samples, self._finished, self._finished_bytes = self._finished, [], 0
        self._on_room(True)
        self._under_way = asyncio.get_running_loop().run_in_executor(self._thread, self._write, samples)
        return self._under_way

    def _write(self, samples: Sequence[Sample]) -> None:
        """Runs in the sink's thread."""
        if samples:
            self._sink.commit(samples)
            self._written += len(samples)
            self._progress.committed()
        self._on_commit()
        if samples:
            log.info("committed samples=%d", len(samples))
        if self._sink.finished():
            raise TwinFinishedError


def _size(sample: Sample) -> int:
    """About the bytes that a sample takes until it is committed."""
    return SAMPLE_BYTES + len(sample.text or "") + (sample.carried.size if sample.carried else 0)
