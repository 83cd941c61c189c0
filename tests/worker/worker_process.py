"""A real worker as a child process, for tests that kill it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psutil

from rephrase_worker.spec import EngineSettings, Recipe

LINE_SECONDS = 240.0
"""Longest wait for a line of the log: an engine's start on a busy machine."""


class WorkerProcess:
    """`rephrase-worker generate` in a session of its own. Waits are for lines of its log, never for time."""

    def __init__(self, command: list[str], environment: Mapping[str, str], termination: Path) -> None:
        self.termination = termination
        self.log: list[str] = []
        self._lines: Queue[str | None] = Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rephrase_worker", *command],
            env={**os.environ, **environment, "TERMINATION_MESSAGE_PATH": str(termination)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """The first line, after those already waited for, that matches."""
        while True:
            try:
                line = self._lines.get(timeout=LINE_SECONDS)
            except Empty:
                raise AssertionError(f"no line {pattern!r} came:\n{self.text}") from None
            if line is None:
                raise AssertionError(f"the worker ended without a line {pattern!r}:\n{self.text}")
            if match := re.search(pattern, line):
                return match

    @property
    def text(self) -> str:
        return "".join(self.log[-60:])

    def exit_code(self) -> int:
        """Wait for the end."""
        return self._process.wait(timeout=LINE_SECONDS)

    def report(self) -> dict[str, Any]:
        """The termination message."""
        report = json.loads(self.termination.read_bytes())
        assert isinstance(report, dict)
        return report

    def kill(self) -> None:
        """SIGKILL to the worker and what it started: the end of a container."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> None:
        """SIGTERM to the worker alone, as a container gets it."""
        self._process.send_signal(signal.SIGTERM)

    def terminate_group(self) -> None:
        """SIGTERM to the worker and all that it started, as a shell or a service manager sends it."""
        os.killpg(self._process.pid, signal.SIGTERM)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def close(self) -> None:
        """End what is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()


class Workspace:
    """A job's files on disk and the commands on it."""

    def __init__(self, folder: Path, recipe: Recipe, engine: EngineSettings) -> None:
        self.folder = folder
        self.recipe = recipe
        (folder / "recipe.json").write_text(recipe.to_json())
        (folder / "engine.json").write_text(engine.to_json())
        self._workers: list[WorkerProcess] = []

    @property
    def output(self) -> Path:
        return Path(self.recipe.output.uri)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """`plan` or `finalize`, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "rephrase_worker", command, "--recipe", str(self.folder / "recipe.json")],
            capture_output=True,
            text=True,
            check=True,
            timeout=LINE_SECONDS,
        )

    def worker(self, *, shard: int = 0, uid: str, **environment: str) -> WorkerProcess:
        """Start a worker on a shard."""
        command = ["generate", "--recipe", str(self.folder / "recipe.json")]
        command += ["--engine", str(self.folder / "engine.json"), "--shard", str(shard)]
        return self._start(command, uid, environment)

    def mixer(self, *, shard: int = 0, uid: str, **environment: str) -> WorkerProcess:
        """Start a worker on a shard of the mix."""
        command = ["mix", "--recipe", str(self.folder / "recipe.json"), "--shard", str(shard)]
        return self._start(command, uid, environment)

    def _start(self, command: list[str], uid: str, environment: Mapping[str, str]) -> WorkerProcess:
        settings = {
            "REPHRASE_PORT": "0",
            "POD_UID": uid,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TERMINATION_GRACE_SECONDS": "0.2",
            **environment,
        }
        worker = WorkerProcess(command, settings, self.folder / f"termination-{uid}")
        self._workers.append(worker)
        return worker

    def segments(self, shard: int = 0) -> list[Path]:
        return sorted((self.output / f"_rephrase/segments/shard-{shard:05d}").glob("*.parquet"))

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


@contextmanager
def workspace(folder: Path, recipe: Recipe, engine: EngineSettings) -> Iterator[Workspace]:
    """A workspace whose workers are gone afterwards."""
    space = Workspace(folder, recipe, engine)
    try:
        yield space
    finally:
        space.close()


def fetch(url: str) -> bytes:
    """The body of an answer with status 200."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        body = answer.read()
    assert isinstance(body, bytes)
    return body
