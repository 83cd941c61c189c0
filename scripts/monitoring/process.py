"""A part that runs beside: started in a session of its own, waited for by its HTTP endpoint, and stopped."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 30


class StartError(Exception):
    """A part did not start; the message has the end of its log."""


@dataclass(frozen=True)
class Part:
    """One that runs."""

    process: subprocess.Popen[bytes]
    url: str
    """Where it answers, without a slash at the end."""

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(name: str, command: list[str], *, folder: Path, port: int, ready: str) -> Part:
    """Start a part that will answer on 127.0.0.1, and wait until the path `ready` answers with 200.

    Its log is NAME.log in `folder`. Raises StartError.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    part = Part(process, f"http://127.0.0.1:{port}")
    deadline = time.monotonic() + START_SECONDS
    while not _answers(part.url + ready):
        if process.poll() is not None or time.monotonic() > deadline:
            part.stop()
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise StartError(f"{name} did not start ({log}):\n{tail}")
        time.sleep(0.05)
    return part


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
