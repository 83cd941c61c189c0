"""The generation loop: reader → renderer → engine → sink, for one shard.

Reading and rendering run ahead in threads, by a bounded number of documents; requests run as tasks
on the event loop; every call of the sink runs in one thread, so that the window of requests never
drains at a commit. What has finished is committed whatever ends the loop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from rephrase_worker.clock import Clock
from rephrase_worker.engine import Engine, EngineDiedError, RequestFailedError
from rephrase_worker.generate.prefetch import Prefetch
from rephrase_worker.generate.render import DocumentError, Renderer
from rephrase_worker.generate.watchdog import Watchdog
from rephrase_worker.generate.window import Window, default_limit
from rephrase_worker.generate.work import Rows, Work, source_of
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.samples import Key, Sample
from rephrase_worker.spec import Reason, WorkerError

if TYPE_CHECKING:
    from datatrove.data import Document

DOCUMENTS_AHEAD = 16
"""Documents that each stage runs ahead: a fraction of a second of the fastest engines."""

HEARTBEAT_SECONDS = 1.0
COMMIT_BYTES = 64 * 1024 * 1024
"""Bytes of finished samples, about, that are committed without waiting for the interval."""
UNCOMMITTED_BYTES = 4 * COMMIT_BYTES
"""Bytes of finished samples beyond which nothing is admitted: the store is slower than the engine."""
SAMPLE_BYTES = 1024
"""What a sample takes beside its text until it is committed, as measured: errors have no text at all."""


log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where finished samples go."""

    def commit(self, samples: Sequence[Sample]) -> None:
        """Write the samples as one segment."""

    def finished(self) -> bool:
        """A twin, another worker on this shard, has finished it."""


class TwinFinishedError(Exception):
    """Another worker has finished this shard: there is nothing left to do."""


class GenerationLoop:
    """Makes every missing sample of one shard. One object, one run."""

    def __init__(
        self,
        *,
        documents: Iterable[Document],
        committed: set[Key],
        rows: Rows,
        make_engine: Callable[[], Engine],
        make_renderer: Callable[[Engine], Renderer],
        sink: Sink,
        progress: ShardProgress,
        clock: Clock,
        on_commit: Callable[[], None],
        max_requests_in_flight: int | None,
        hang_timeout_seconds: float,
        commit_interval_seconds: float,
        grace_seconds: float,
    ) -> None:
        self.positions: list[tuple[str, int]] = []
        """Every document that the reader gave, in order; whole when `run` has returned."""
        self.stop = asyncio.Event()
        """Set on SIGTERM: admit nothing more, finish what the grace period allows, end."""
        self.starting_engine = False
        """The event loop may be blocked: vLLM starts synchronously."""
        self._documents = iter(documents)
        self._committed = committed
        self._rows = rows
        self._make_engine = make_engine
        self._make_renderer = make_renderer
        self._sink = sink
        self._progress = progress
        self._clock = clock
        self._on_commit = on_commit
        self._limit = max_requests_in_flight
        self._hang_timeout = hang_timeout_seconds
        self._commit_interval = commit_interval_seconds
        self._grace = grace_seconds
        self._finished: list[Sample] = []
        self._finished_bytes = 0
        self._last_commit = clock.now()
        self._committing: asyncio.Future[None] | None = None
        self._sink_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sink")
        self._numbers = itertools.count()
        self._window = Window(1)
        self._resuming = True

    async def run(self) -> None:
        """Return when every sample of the shard is committed.

        Raises WorkerError, with PREEMPTED after `stop`, and TwinFinishedError. The engine is only
        started when a document needs it.
        """
        started = self._clock.now()
        pending = self._pending()
        try:
            first = await self._first_for_engine(pending)
            self._resuming = False
            self._progress.step_took("resume", self._clock.now() - started)
            if first is not None:
                await self._with_engine(itertools.chain([first], pending))
        finally:
            await self._commit()
            self._sink_thread.shutdown(wait=False)

    def _pending(self) -> Iterator[Work]:
        """The documents that still miss samples; notes the position of all."""
        for document in self._documents:
            if self._resuming and self.stop.is_set():
                raise _preempted()
            self.positions.append(source_of(document))
            work = self._rows.work(document, self._committed)
            if work.missing:
                yield work

    async def _first_for_engine(self, pending: Iterator[Work]) -> Work | None:
        """The first document that needs the engine, after those that are errors by themselves."""
        while (work := await asyncio.to_thread(next, pending, None)) is not None:
            if work.error is None:
                return work
            self._fail(work, work.error)
            if self._commit_is_due():
                await self._commit()
        return None

    async def _with_engine(self, pending: Iterator[Work]) -> None:
        engine = self._make_engine()
        try:
            await self._start(engine)
            renderer = self._make_renderer(engine)
            self._window = Window(self._limit or default_limit(engine.max_num_seqs))
            shortened = Prefetch(_shortened(pending, renderer), ahead=DOCUMENTS_AHEAD, name="reader")
            rendered = Prefetch(_rendered(shortened, renderer), ahead=DOCUMENTS_AHEAD, name="renderer")
            try:
                await self._serve(engine, rendered)
            finally:
                shortened.close()
                rendered.close()
        finally:
            try:
                # First, because a dead or hanging engine takes seconds to close.
                await self._commit()
            finally:
                self._progress.engine_closed()
                await engine.close()

    async def _start(self, engine: Engine) -> None:
        self._progress.enter("starting", "engine")
        started = self._clock.now()
        self.starting_engine = True
        log.info("starting the engine")
        try:
            await engine.start()
        except EngineDiedError as error:
            raise _engine_failed(error) from error
        finally:
            self.starting_engine = False
        self._progress.step_took("engine", self._clock.now() - started)
        self._progress.engine_ready(lambda: engine.generated_tokens)
        if self.stop.is_set():
            raise _preempted()

    async def _serve(self, engine: Engine, rendered: Prefetch[Work]) -> None:
        """Run requests until the documents end, and commit meanwhile."""
        self._progress.enter("generating", "")
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(self._heartbeat(engine)),
                    tasks.create_task(self._preempt(rendered)),
                ]
                await self._admit(engine, rendered, tasks)
                await self._window.drained()
                for task in background:
                    task.cancel()
        except BaseExceptionGroup as group:
            error = _most_telling(group, stopping=self.stop.is_set())
            if isinstance(error, WorkerError):
                self._progress.failed(error.failure, hangs=error.failure.reason is Reason.ENGINE_HANGS)
            raise error from group

    async def _admit(self, engine: Engine, rendered: Prefetch[Work], tasks: asyncio.TaskGroup) -> None:
        while (work := await asyncio.to_thread(next, rendered, None)) is not None:
            await self._window.room()
            if self.stop.is_set():
                break
            if work.rendered is None:
                self._fail(work, work.error or "internal: the document was not rendered")
                continue
            self._window.enter(len(work.missing))
            self._progress.admitted(len(work.missing))
            for key in work.missing:
                tasks.create_task(self._request(engine, work, key))
        else:
            if rendered.exhausted:
                return
        await self._window.drained()
        raise _preempted()

    async def _request(self, engine: Engine, work: Work, key: Key) -> None:
        try:
            completion = await engine.generate(self._rows.request(work, key, next(self._numbers)))
            sample = self._rows.text(work, key, completion)
        except RequestFailedError as error:
            sample = self._rows.error(work, key, f"engine_error: {error}")
        except EngineDiedError as error:
            raise _engine_failed(error) from error
        finally:
            self._window.leave()
            self._progress.left()
        self._finish(work, [sample])

    def _fail(self, work: Work, error: str) -> None:
        self._finish(work, [self._rows.error(work, key, error) for key in work.missing])

    def _finish(self, work: Work, samples: list[Sample]) -> None:
        self._finished += samples
        self._finished_bytes += sum(len(sample.text or "") + SAMPLE_BYTES for sample in samples)
        self._window.set_open(self._finished_bytes < UNCOMMITTED_BYTES)
        self._progress.finished(samples)
        work.remaining -= len(samples)
        if work.remaining == 0:
            self._progress.document_finished()

    async def _heartbeat(self, engine: Engine) -> None:
        """Once a second: the token rate, the watchdog, and a commit when one is due."""
        watchdog = Watchdog(timeout=self._hang_timeout, now=self._clock.now())
        while True:
            await self._clock.sleep(HEARTBEAT_SECONDS)
            now = self._clock.now()
            self._progress.tick()
            watchdog.check(now=now, tokens=engine.generated_tokens, in_flight=self._window.in_flight)
            if self._commit_is_due():
                self._begin_commit()

    async def _preempt(self, rendered: Prefetch[Work]) -> None:
        """After `stop`: end admission, and end everything when the grace period is over."""
        await self.stop.wait()
        self._progress.enter("generating", "stopping")
        rendered.close()
        self._begin_commit()
        await self._clock.sleep(self._grace)
        raise _preempted()

    def _commit_is_due(self) -> bool:
        waited = self._clock.now() - self._last_commit
        return waited >= self._commit_interval or self._finished_bytes >= COMMIT_BYTES

    def _begin_commit(self) -> None:
        """Hand what has finished to the sink's thread, unless it is still busy with the last commit."""
        if self._committing is not None:
            if not self._committing.done():
                return
            self._committing.result()
        self._last_commit = self._clock.now()
        samples, self._finished, self._finished_bytes = self._finished, [], 0
        self._window.set_open(True)
        self._committing = asyncio.get_running_loop().run_in_executor(self._sink_thread, self._write, samples)

    async def _commit(self) -> None:
        """Commit all that has finished, after a commit that is under way."""
        if self._committing is not None:
            await self._committing
        if self._finished:
            self._begin_commit()
            await self._commit()

    def _write(self, samples: Sequence[Sample]) -> None:
        if samples:
            self._sink.commit(samples)
            self._progress.committed()
        self._on_commit()
        if samples:
            log.info("committed samples=%d", len(samples))
        if self._sink.finished():
            raise TwinFinishedError


def _shortened(pending: Iterator[Work], renderer: Renderer) -> Iterator[Work]:
    """Runs in the reader's thread."""
    for work in pending:
        work.text = renderer.shorten(work.text)
        yield work


def _rendered(pending: Iterable[Work], renderer: Renderer) -> Iterator[Work]:
    """Runs in the renderer's thread."""
    for work in pending:
        if work.error is None:
            try:
                work.rendered = renderer.render(work.text)
            except DocumentError as error:
                work.error = str(error)
        work.text = ""
        yield work


def _preempted() -> WorkerError:
    return WorkerError(
        Reason.PREEMPTED,
        "The worker was asked to stop (SIGTERM). What had finished is committed; the shard goes on there.",
    )


def _engine_failed(error: EngineDiedError) -> WorkerError:
    cause = str(error).rstrip(".")
    return WorkerError(
        Reason.ENGINE_FAILED,
        f"{cause}. What had finished is committed and the shard is taken up again. If this comes back, "
        "change spec.engine: after running out of memory, lower gpuMemoryUtilization or maxNumSeqs.",
    )


def _most_telling(group: BaseExceptionGroup[BaseException], *, stopping: bool) -> BaseException:
    """The one cause among what ended the tasks."""
    leaves = list(_leaves(group))
    for leaf in leaves:
        if isinstance(leaf, TwinFinishedError):
            return leaf
        if isinstance(leaf, WorkerError):
            # Being asked to stop explains an engine that got the same signal and died with us.
            return _preempted() if stopping and leaf.failure.reason is Reason.ENGINE_FAILED else leaf
    return leaves[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
