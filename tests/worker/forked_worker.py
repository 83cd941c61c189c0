"""Worker processes that cost a tenth of a second: forked from a server that has imported everything.

They run the command that a pod runs, `rephrase-worker COMMAND`, with real files, real signals and real exit
codes. Three things differ from a pod: their clock runs `SPEED` times as fast; their store can be told to
fail, or to end the process, at a chosen operation; and every text of their simulated engine ends with the
process's number, because a real engine's text differs from process to process, too.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

SPEED = 20.0
"""Seconds of the worker's clock in a second of the machine's."""

LONGEST_WAIT = 0.05
"""Seconds of the machine for which a worker waits for its store at most; its clock skips the rest."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["rephrase_worker.cli", "rephrase_worker.planner", "rephrase_worker.generate.shard"]
    + ["rephrase_worker.finalizer", "rephrase_worker.report.telemetry", "tests.worker.forked_worker"]
)


@dataclass(frozen=True, kw_only=True)
class StoreFault:
    """What happens at attempt number `at` to do something on the store, counted from 1."""

    kind: Literal["kill", "terminate", "fail"]
    """SIGKILL, SIGTERM, or an input/output error."""
    at: int
    after: bool
    """After the operation took effect, so that only its answer is lost, or before."""
    count: int = 1
    """How many attempts in a row fail."""


class FastClock:
    """The worker's `Clock`, SPEED times as fast as the machine's."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        return time.monotonic() * SPEED + self._skipped

    def moment(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    def wait(self, seconds: float, wake: threading.Event) -> None:
        pause = min(seconds / SPEED, LONGEST_WAIT)
        if not wake.wait(pause):
            self._skipped += seconds - pause * SPEED


class ForkedWorker:
    """One worker process. `struck` is there as soon as its store's fault has happened."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        fault: StoreFault | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self.log = folder / "log"
        self._struck = folder / "struck"
        settings = {
            "TERMINATION_MESSAGE_PATH": str(folder / "termination"),
            "REPHRASE_PORT": "0",
            "TMPDIR": str(folder),
            **environment,
        }
        self._process: BaseProcess = _CONTEXT.Process(
            target=_main, args=(list(words), settings, self.log, fault, self._struck)
        )
        self._process.start()

    @property
    def struck(self) -> bool:
        """Whether the store's fault has happened."""
        return self._struck.exists()

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, negative for a signal; None when it still runs after so many seconds."""
        self._process.join(seconds)
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def close(self) -> None:
        """End what is left of it."""
        self._process.kill()
        self._process.join()
        self._process.close()


def _main(
    words: list[str], environment: dict[str, str], log: Path, fault: StoreFault | None, struck: Path
) -> None:
    from rephrase_worker import cli
    from rephrase_worker.clock import MonotonicClock
    from rephrase_worker.engine import simulated

    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in ("__init__", "now", "sleep", "wait"):
        setattr(MonotonicClock, name, getattr(FastClock, name))
    simulated_text = simulated.simulated_text
    simulated.simulated_text = lambda *request: f"{simulated_text(*request)} {os.getpid()}"
    if fault is not None:
        _break_store(_Breaker(fault, struck))
    sys.argv = ["rephrase-worker", *words]
    cli.main(words)


class _Breaker:
    """Counts attempts, and does at the chosen ones what the fault says. For several threads."""

    def __init__(self, fault: StoreFault, struck: Path) -> None:
        self._fault = fault
        self._struck = struck
        self._numbers = itertools.count(1)

    def attempt(self, operation: Callable[[], Any]) -> Any:
        if not self._fault.at <= next(self._numbers) < self._fault.at + self._fault.count:
            return operation()
        self._struck.touch()
        if self._fault.after:
            answer = operation()
            self._strike()
            return answer
        self._strike()
        return operation()

    def _strike(self) -> None:
        match self._fault.kind:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "terminate":
                os.kill(os.getpid(), signal.SIGTERM)
            case "fail":
                raise OSError(errno.EIO, "the store fails, as asked")


def _break_store(breaker: _Breaker) -> None:
    """Fail below the store's patience. This process has a class of its own to change: nobody else sees it."""
    from rephrase_worker.store import Store

    patiently = Store._patiently

    def broken(store: Store, operation: str, attempt: Callable[[], Any], *, writing: bool) -> Any:
        return patiently(store, operation, lambda: breaker.attempt(attempt), writing=writing)

    Store._patiently = broken  # type: ignore[method-assign,assignment]
