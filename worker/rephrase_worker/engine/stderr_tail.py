"""Why an engine ended, in its own words.

vLLM's core and workers are processes of their own, and what brings them down (out of memory, a KV cache
that is too small) they only print; this process learns no more than that they are gone. So standard
error goes through a pipe while an engine runs, everything in it is passed on, and the last error is
remembered. It explains a failure that is certain by other means; no line ever causes one.
"""

from __future__ import annotations

import os
import re
import threading

_ERROR = re.compile(rb"(?:^|[\])] )((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception)): (.+)")
_CONSEQUENCES = (b"EngineDeadError", b"Engine core initialization failed", b"BrokenPipeError")
"""Parts of errors that only say that another one happened."""

MESSAGE_LIMIT = 600
"""Characters of a cause at most."""

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
        # A line of our own comes after all that the dead have written.
        os.write(2, b"\n%s%d\n" % (_MARK, mark))
        with self._seen:
            self._seen.wait_for(lambda: self._seen_marks >= mark or self._ended, timeout=_DRAIN_SECONDS)
            return self._cause

    def forget(self) -> None:
        """Forget the errors so far: they were survived."""
        self.cause()
        with self._seen:
            self._cause = None

    def close(self) -> None:
        """Give file descriptor 2 back; what children still write is passed on while this process lives."""
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
