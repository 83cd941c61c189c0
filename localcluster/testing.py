"""A cluster in a child process, for tests and demos: `with running(directory) as cluster: ...`."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Cluster:
    """A cluster that can be reached. `kubeconfig` and `token` are the admin's, `pid` of one started here."""

    kubeconfig: Path
    url: str
    token: str
    pid: int | None = None
    binary: str = "kubectl"

    @classmethod
    def of(cls, kubeconfig: Path, pid: int | None = None) -> "Cluster":
        """A cluster that runs already."""
        config = yaml.safe_load(kubeconfig.read_text())
        binary = os.environ.get("KUBECTL") or shutil.which("kubectl") or "kubectl"
        return cls(
            kubeconfig,
            config["clusters"][0]["cluster"]["server"],
            config["users"][0]["user"].get("token", ""),
            pid,
            binary,
        )

    def kubectl(
        self, *words: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl ($KUBECTL, or the one on PATH). Raises CalledProcessError, with stderr as a note."""
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode:
            failure = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
            failure.add_note(done.stderr)
            raise failure
        return done

    def command(self, *words: str) -> list[str]:
        """The command line of a kubectl that sees this cluster only."""
        cache = self.kubeconfig.parent / "kubectl-cache"
        return [self.binary, "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(cache), *words]

    def apply(self, *objects: dict[str, Any]) -> None:
        """`kubectl apply` for objects as dicts."""
        self.kubectl("apply", "-f", "-", stdin="\n".join(map(json.dumps, objects)))

    def get(self, *words: str) -> Any:
        """The result of `kubectl get -o json`."""
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)


@contextmanager
def running(directory: Path, *flags: str) -> Iterator[Cluster]:
    """A cluster of its own, gone with all its processes at the end. Its log is cluster.log in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.unlink(missing_ok=True)
    libc = ctypes.CDLL(None)
    with (directory / "cluster.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "localcluster", "up", "--dir", str(directory), *flags],
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(1, signal.SIGTERM),
        )
    try:
        end = time.monotonic() + 30
        while not kubeconfig.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    f"the local cluster did not start: {(directory / 'cluster.log').read_text()}"
                )
            time.sleep(0.02)
        yield Cluster.of(kubeconfig, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
