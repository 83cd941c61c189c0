"""Runs the demo in a terminal, and notes what it writes when."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

from scripts.demo.recording.film import COLUMNS, ROWS, Written
from scripts.demo.shell import ROOT, DemoError

_BEGUN = re.compile(r"\x1b(\[[0-9;?]*)?$")


def capture(command: list[str]) -> list[Written]:
    """Run a command in a terminal of the film's size. Raises DemoError when it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    look = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | look
    )
    os.close(theirs)
    began, found, held = time.monotonic(), [], ""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    while True:
        try:
            written = os.read(ours, 1 << 16)
        except OSError:  # Linux says so when the last program with the terminal open has ended
            break
        if not written:
            break
        text = held + decode(written).replace("\r\n", "\n")
        # A read may end within a control sequence.
        whole = text[: match.start()] if (match := _BEGUN.search(text)) else text
        held = text[len(whole) :]
        if whole:
            found.append(Written(time.monotonic() - began, whole))
        sys.stdout.write(whole)
        sys.stdout.flush()
    os.close(ours)
    if process.wait():
        raise DemoError(f"{' '.join(command)} ended with exit code {process.returncode}")
    return found
