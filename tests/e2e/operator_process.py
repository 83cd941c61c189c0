"""The operator as a process, under the permissions that its chart gives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.harness import Stage

POD_DEFAULTS = {
    "acceleratorResource": "",
    "imagePullPolicy": "IfNotPresent",
    "imagePullSecrets": [{"name": "registry"}],
    "labels": {"team": "e2e"},
    "annotations": {"example.com/owner": "e2e"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "stepTolerations": [{"key": "batch", "value": "yes"}],
    "env": {"NO_PROXY": "127.0.0.0/8"},
}
"""Settings that every API server has to accept. But for the first they change nothing here."""


@dataclass
class Operator:
    """The operator as a process, with a token of the chart's service account.

    Started again when it ends by itself, as its Deployment would: it ends when it loses its Lease, which on
    a busy machine happens to a Lease as short as the tests'.
    """

    stage: Stage
    port: int
    """Of /metrics and /healthz."""
    name: str = "operator"
    """Of its pod."""
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

    def stop(self) -> int | None:
        """SIGTERM, as the kubelet does. Returns the exit status; None if it did not run."""
        return self._end(signal.SIGTERM)

    def _end(self, with_signal: signal.Signals) -> int | None:
        self.wanted = False
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(with_signal)
        return self.process.wait(30)

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
        flags += [
            "--allow-local-paths",
            f"--pod-defaults={json.dumps(POD_DEFAULTS)}",
        ]
        flags += [f"--metrics-port={self.port}", "--lease-seconds=5", "--progress-seconds=0.5"]
        environment = os.environ | {
            "KUBECONFIG": str(self.stage.operator_config),
            "POD_NAMESPACE": self.stage.home,
            "POD_NAME": self.name,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rephrase_operator.cli", "run", *flags],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.stage.directory / f"{self.name}.log"

    def healthy(self) -> bool:
        """Whether its pod would be Ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=10):
                return True
        except OSError:  # It does not listen yet, or says that it is not.
            return False

    def metrics(self) -> dict[str, float]:
        """Every series of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))
        }
