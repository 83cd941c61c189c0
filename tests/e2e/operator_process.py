"""The operator as a process, under the permissions that its chart gives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.harness import Stage


@dataclass
class Operator:
    """The operator as a process, with a token of the chart's service account.

    Started again when it ends by itself, as its Deployment would: it ends when it loses its Lease, which on
    a busy machine happens to a Lease as short as the tests'.
    """

    stage: Stage
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = False

    def start(self) -> None:
        """Start it, unless it runs."""
        if not self.wanted:
            self.wanted = True
            self._spawn()
            threading.Thread(target=self._keep, name="operator", daemon=True).start()

    def kill(self) -> None:
        """SIGKILL: no chance to say goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as the kubelet does."""
        self._end(signal.SIGTERM)

    def _end(self, with_signal: signal.Signals) -> None:
        self.wanted = False
        if self.process is not None:
            self.process.send_signal(with_signal)
            self.process.wait(30)

    def _keep(self) -> None:
        kept = self.process
        while kept is not None:
            kept.wait()
            if not self.wanted or self.process is not kept:
                return
            self._spawn()
            kept = self.process

    def _spawn(self) -> None:
        flags = [f"--namespace={name}" for name in self.stage.watched]
        flags += ["--accelerator-resource=", "--allow-local-paths"]
        flags += [f"--metrics-port={self.stage.port}", "--lease-seconds=5", "--progress-seconds=0.5"]
        environment = os.environ | {
            "KUBECONFIG": str(self.stage.operator_config),
            "POD_NAMESPACE": self.stage.home,
        }
        with (self.stage.directory / "operator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rephrase_operator.cli", "run", *flags],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def metrics(self) -> dict[str, float]:
        """Every series of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.stage.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))
        }
