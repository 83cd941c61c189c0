"""The demo's background processes: started, recorded in a file, and stopped by this run or a later one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.demo.shell import ROOT, DemoError

START_SECONDS = 60
STOP_SECONDS = 30


@dataclass(frozen=True)
class Processes:
    """The processes whose logs and whose record lie in a folder."""

    folder: Path

    def start(self, name: str, arguments: list[str], ready: Callable[[], bool], **environment: str) -> None:
        """Start a process in a session of its own and wait until it is ready.

        Raises DemoError with its last log lines if it ends or takes too long.
        """
        path = self.folder / f"{name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.adopt(name, process.pid)
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = path.read_text(errors="replace").splitlines()[-20:]
                raise DemoError(f"the {name} did not start:\n" + "\n".join(tail))
            time.sleep(0.1)

    def adopt(self, name: str, pid: int) -> None:
        """Record a process that is to be stopped with the others, before those that were started earlier."""
        running = self._recorded()
        running[name] = pid, _birth(pid)
        self._record.write_text(json.dumps(running))

    def stop(self) -> None:
        """Stop the recorded processes, the youngest first, and wait until they have ended."""
        for pid, birth in reversed(self._recorded().values()):
            # After a restart of the machine, another process may have the id.
            if birth and _birth(pid) == birth:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
                _wait_gone(pid)
        self._record.unlink(missing_ok=True)

    @property
    def _record(self) -> Path:
        return self.folder / "running.json"

    def _recorded(self) -> dict[str, tuple[int, str]]:
        if not self._record.exists():
            return {}
        found: dict[str, tuple[int, str]] = json.loads(self._record.read_text())
        return found


def answers(port: int) -> bool:
    """Whether something listens on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _birth(pid: int) -> str:
    """When a process started, in clock ticks since the machine did; empty if it has ended."""
    with contextlib.suppress(OSError):
        # The second field is the program's name in brackets, which may hold anything.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else fields[18]
    return ""


def _wait_gone(pid: int) -> None:
    """Wait until a process has ended; kill it when the time is over."""
    for _ in _attempts(STOP_SECONDS):
        if not _birth(pid):
            return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _attempts(seconds: float) -> Iterator[None]:
    """Ten attempts a second until the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)
