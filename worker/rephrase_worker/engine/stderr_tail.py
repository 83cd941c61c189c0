"""Finds out from standard error why an engine ended.

vLLM's core and workers are processes of their own. When one fails (out of memory, a KV cache that is too
small), it prints the cause, and this process only learns that the other one is gone. So standard error goes
through a pipe while an engine runs: every line is passed on, and the last error is remembered. That error
only explains a failure that is known by other means. No line on standard error makes a worker fail.
"""

from __future__ import annotations

import os
import re
import threading

_ERROR = re.compile(rb"(?:^|[\])] )((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception)): (.+)")
_CONSEQUENCES = (b"EngineDeadError", b"Engine core initialization failed", b"BrokenPipeError")
"""Parts of messages that only say that another error happened."""

MESSAGE_LIMIT = 600
"""Most characters of a cause."""

_DRAIN_SECONDS = 2.0
_MARK = b"\0stderr mark "


class StderrTail:
    """Passes on what this process and its children write to file descriptor 2 until `close`."""

    def __init__(self) -> None:
        self._cause: str | None = None
        self._marks = 0
        self._seen = threading.Condition()
        self._seen_marks = 0
        self._ended = False
        self._original = os.dup(2)
        self._pipe, writer = os.pipe()
        os.dup2(writer, 2)
        os.close(writer)
        self._thread = threading.Thread(target=self._pass_on, name="stderr", daemon=True)
        self._thread.start()

    def cause(self) -> str | None:
        """The last error that any of the processes has printed so far, as `Type: message`."""
        with self._seen:
            self._marks += 1
            mark = self._marks
        # Write a mark of our own and wait for it: everything that the ended processes wrote comes before it.
        os.write(2, b"\n%s%d\n" % (_MARK, mark))
        with self._seen:
            self._seen.wait_for(lambda: self._seen_marks >= mark or self._ended, timeout=_DRAIN_SECONDS)
            return self._cause

    def forget(self) -> None:
        """Forget the errors so far, because the engine survived them."""
        self.cause()
        with self._seen:
            self._cause = None

    def close(self) -> None:
        """Restore file descriptor 2. What children still write is passed on until this process ends."""
        os.dup2(self._original, 2)
        self._thread.join(timeout=_DRAIN_SECONDS)

    def _pass_on(self) -> None:
        with os.fdopen(self._pipe, "rb") as lines, os.fdopen(self._original, "wb", buffering=0) as out:
            for line in lines:
                if line.startswith(_MARK):
                    with self._seen:
                        self._seen_marks = int(line.split()[-1])
                        self._seen.notify_all()
                    continue
                out.write(line)
                self._remember(line)
        with self._seen:
            self._ended = True
            self._seen.notify_all()

    def _remember(self, line: bytes) -> None:
        match = _ERROR.search(line.rstrip())
        if match is None or any(part in line for part in _CONSEQUENCES):
            return
        text = b": ".join(match.groups()).decode("utf-8", "replace")
        with self._seen:
            self._cause = text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
