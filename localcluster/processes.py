"""Local processes in groups of their own, none of which outlives the kubelet."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


class Processes:
    """Starts processes, and a reaper that ends their groups when this process goes."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("reaper.py")
        self._reaper = subprocess.Popen([sys.executable, "-I", "-S", str(script)], stdin=subprocess.PIPE,
                                        start_new_session=True)
        assert self._reaper.stdin is not None
        self._pipe = self._reaper.stdin.fileno()
        self._libc = ctypes.CDLL(None)

    async def start(self, command: list[str], env: dict[str, str], cwd: Path, log: Path) -> asyncio.subprocess.Process:
        """Raises OSError when the command cannot be executed."""
        parent = os.getpid()

        def before_exec() -> None:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.write(self._pipe, f"+{os.getpid()}\n".encode())
            if os.getppid() != parent:
                os._exit(1)

        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *command, env={**inherited, **env}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=before_exec)

    async def wait(self, process: asyncio.subprocess.Process) -> int:
        """The exit code, 128 + n after signal n; what is left of the group is ended."""
        code = await process.wait()
        kill_group(process, signal.SIGKILL)
        os.write(self._pipe, f"-{process.pid}\n".encode())
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """Close the pipe: the reaper ends every group."""
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        self._reaper.wait()


def kill_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
