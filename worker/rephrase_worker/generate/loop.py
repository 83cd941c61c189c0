"""The generation loop: reader → renderer → engine → sink, for one shard.

Reading and rendering run ahead in threads, by a bounded number of documents. Requests run as tasks on the
event loop, and `commits` writes finished samples at the same time. Whatever ends the loop, finished samples
are committed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rephrase_worker.clock import Clock
from rephrase_worker.engine import Engine, EngineDiedError, RequestFailedError
from rephrase_worker.generate.commits import Commits, Sink, TwinFinishedError
from rephrase_worker.generate.prefetch import Prefetch
from rephrase_worker.generate.watchdog import Watchdog
from rephrase_worker.generate.window import Window, default_limit
from rephrase_worker.generate.work import Rows, Work, source_of
from rephrase_worker.quality.language import language_of
from rephrase_worker.rendering.errors import DocumentError
from rephrase_worker.rendering.reasoning import Reasoning
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.samples import Key, Sample
from rephrase_worker.spec import Reason, WorkerError

if TYPE_CHECKING:
    from datatrove.data import Document

DOCUMENTS_AHEAD = 16
"""Documents that each stage runs ahead. The fastest engines take a fraction of a second for them."""

HEARTBEAT_SECONDS = 1.0

log = logging.getLogger(__name__)


class GenerationLoop:
    """Makes every missing sample of one shard. An object runs once."""

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
        """Every document that the reader gave, in order; complete after `run` has returned."""
        self.stop = asyncio.Event()
        """Set by `request_stop`."""
        self.starting_engine = False
        """The event loop may be blocked: vLLM starts synchronously."""
        self._documents = iter(documents)
        self._committed = committed
        self._rows = rows
        self._make_engine = make_engine
        self._make_renderer = make_renderer
        self._progress = progress
        self._clock = clock
        self._limit = max_requests_in_flight
        self._hang_timeout = hang_timeout_seconds
        self._grace = grace_seconds
        self._commits = Commits(
            sink,
            progress=progress,
            clock=clock,
            interval_seconds=commit_interval_seconds,
            on_commit=on_commit,
            on_room=lambda room: self._window.set_open(room),
        )
        self._numbers = itertools.count()
        self._window = Window(1)
        self._resuming = True
        self._reasoning: Reasoning | None = None

    def request_stop(self) -> None:
        """React to SIGTERM: admit nothing more, finish and commit what the grace period allows, and end."""
        self._commits.hurry(self._grace)
        self.stop.set()

    async def run(self) -> None:
        """Return when every sample of the shard is committed.

        Raises WorkerError, with PREEMPTED after `request_stop`, and TwinFinishedError. The engine is only
        started when a document needs it.
        """
        try:
            await self._run()
        except WorkerError as error:
            if self._commits.uncommitted:
                log.error(
                    "%d finished samples were not committed and have to be made again",
                    self._commits.uncommitted,
                )
            if self.stop.is_set() and error.failure.reason is Reason.OUTPUT_NOT_WRITABLE:
                raise _preempted_in_outage(self._commits.uncommitted, error) from error
            raise
        finally:
            self._commits.close()

    async def _run(self) -> None:
        started = self._clock.now()
        pending = self._pending()
        try:
            first = await self._first_for_engine(pending)
            self._resuming = False
            self._progress.step_took("resume", self._clock.now() - started)
            if first is not None:
                await self._with_engine(itertools.chain([first], pending))
        finally:
            await self._commits.all()

    def _pending(self) -> Iterator[Work]:
        """The documents that still miss samples. The positions of all documents are recorded."""
        for document in self._documents:
            if self._resuming and self.stop.is_set():
                raise _preempted()
            self.positions.append(source_of(document))
            work = self._rows.work(document, self._committed)
            if work.missing:
                yield work

    async def _first_for_engine(self, pending: Iterator[Work]) -> Work | None:
        """The first document that needs the engine. Documents before it that can't be rephrased become
        errors.
        """
        while (work := await asyncio.to_thread(next, pending, None)) is not None:
            if work.error is None:
                return work
            self._fail(work, work.error)
            if self._commits.due:
                await self._commits.all()
        return None

    async def _with_engine(self, pending: Iterator[Work]) -> None:
        engine = self._make_engine()
        try:
            await self._start(engine)
            renderer = self._make_renderer(engine)
            self._reasoning = renderer.reasoning
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
                await self._commits.all()
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
        """Run requests until there are no more documents, and commit meanwhile."""
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
            sample = self._rows.text(work, key, completion, self._reasoning)
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
        self._commits.add(samples)
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
            if self._commits.due:
                self._commits.begin()

    async def _preempt(self, rendered: Prefetch[Work]) -> None:
        """After `stop`: end admission, and end everything when the grace period is over."""
        await self.stop.wait()
        self._progress.enter("generating", "stopping")
        rendered.close()
        self._commits.begin()
        await self._clock.sleep(self._grace)
        raise _preempted()


def _shortened(pending: Iterator[Work], renderer: Renderer) -> Iterator[Work]:
    """Runs in the reader's thread."""
    for work in pending:
        work.text = renderer.shorten(work.text)
        if work.error is None:
            try:
                renderer.check_fields(work.fields)
            except DocumentError as error:
                work.error, work.fields = str(error), {}
        yield work


def _rendered(pending: Iterable[Work], renderer: Renderer) -> Iterator[Work]:
    """Runs in the renderer's thread."""
    for work in pending:
        if work.error is None:
            try:
                work.rendered = renderer.render(work.text, work.fields)
                work.language = language_of(work.text)
            except DocumentError as error:
                work.error = str(error)
        work.text, work.fields = "", {}
        yield work


def _preempted() -> WorkerError:
    return WorkerError(
        Reason.PREEMPTED,
        "The worker was asked to stop (SIGTERM). Its finished samples are committed, and the next attempt "
        "goes on from there.",
    )


def _preempted_in_outage(lost: int, error: WorkerError) -> WorkerError:
    return WorkerError(
        Reason.PREEMPTED,
        f"The worker was asked to stop (SIGTERM) while its output could not be written: {lost} finished "
        f"samples are lost, and the shard goes on from its last commit. {error.failure.message}",
    )


def _engine_failed(error: EngineDiedError) -> WorkerError:
    cause = str(error).rstrip(".")
    return WorkerError(
        Reason.ENGINE_FAILED,
        f"{cause}. Finished samples are committed, and the shard is tried again. If this happens again, "
        "change spec.engine: after running out of memory, lower gpuMemoryUtilization or maxNumSeqs.",
    )


def _most_telling(group: BaseExceptionGroup[BaseException], *, stopping: bool) -> BaseException:
    """The one cause among what ended the tasks."""
    leaves = list(_leaves(group))
    for leaf in leaves:
        if isinstance(leaf, TwinFinishedError):
            return leaf
        if isinstance(leaf, WorkerError):
            # The engine may have got the same SIGTERM and died of it. So if we were asked to stop, that is
            # the cause.
            return _preempted() if stopping and leaf.failure.reason is Reason.ENGINE_FAILED else leaf
    return leaves[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
