"""Local processes in groups of their own. No process outlives the kubelet, however the kubelet ends.

A reaper process reads from a pipe. Each child writes its process id to the pipe before it executes anything,
so the reaper knows all of them. When the kubelet ends, the pipe closes, and the reaper kills every group that
it knows and removes the processes' temporary files.
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_REAPER = """
import os, shutil, signal, sys
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_IGN)
alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for group in alive:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        continue
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ")
"""Variables that pods inherit. None leads to files of the kubelet's user, which other nodes would not have.
"""
_PR_SET_PDEATHSIG = 1


class Processes:
    """Starts processes for one kubelet.

    `scratch` is where their temporary files go. It is not under the kubelet's directory because the path of a
    Unix socket may have 107 bytes, and programs like vLLM put sockets with long names into $TMPDIR.
    """

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="pods-"))
        command = [sys.executable, "-I", "-S", "-c", _REAPER, str(self.scratch)]
        self._reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, bufsize=0)
        assert self._reaper.stdin is not None
        self._pipe = self._reaper.stdin
        self._libc = ctypes.CDLL(None)

    async def start(
        self, command: list[str], env: dict[str, str], cwd: Path, log: Path
    ) -> asyncio.subprocess.Process:
        """Raises OSError when the command cannot be executed."""
        parent = os.getpid()

        def before_exec() -> None:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.write(self._pipe.fileno(), b"+%d\n" % os.getpid())
            if os.getppid() != parent:
                os._exit(1)

        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *command,
                env={**inherited, **env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=before_exec,
            )

    async def wait(self, process: asyncio.subprocess.Process) -> int:
        """The exit code, 128 + n after signal n. The rest of the group is killed."""
        code = await process.wait()
        kill_group(process)
        self._pipe.write(b"-%d\n" % process.pid)
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """End every group."""
        self._pipe.close()
        self._reaper.wait()


def kill_group(process: asyncio.subprocess.Process) -> None:
    """SIGKILL for a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
