"""A Prometheus on this machine that scrapes a cluster's operator and workers as the chart's monitors say.

It needs Prometheus and `kubectl` (set-up installs both), and a network in which this machine reaches pods:
that of the local cluster, or of its process kubelet on another one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.monitoring import chart, process, scrape
from scripts.monitoring.process import ROOT, Part, StartError

BIN = ROOT / ".cache" / "bin"
GET = "`apt-get install prometheus`, or https://prometheus.io/download"


@dataclass(frozen=True)
class Stack:
    """What runs."""

    discovery: Part
    prometheus: Part

    @property
    def url(self) -> str:
        """Of Prometheus' API and its own pages, without a slash at the end."""
        return self.prometheus.url

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name, to be stopped with SIGTERM by another process."""
        return {"discovery": self.discovery.process.pid, "prometheus": self.prometheus.process.pid}

    def stop(self) -> None:
        """End both, Prometheus first."""
        self.prometheus.stop()
        self.discovery.stop()


def installed() -> str | None:
    """Path of Prometheus: set-up's, or the one on PATH."""
    return shutil.which("prometheus", path=str(BIN)) or shutil.which("prometheus")


def start(
    folder: Path,
    *,
    kubeconfig: Path,
    operator: str,
    namespace: str,
    watched: tuple[str, ...] = (),
    interval: str = "5s",
) -> Stack:
    """Start a Prometheus for a cluster, and wait until it is ready. Raises StartError.

    `operator` is where the operator serves its metrics (`127.0.0.1:9090`), `namespace` is the one that it is
    installed in, and `watched` are those that it serves (none means all). `interval` is that of scraping and
    of evaluating rules. `folder` keeps configuration, logs and data; a later start goes on with the data.
    """
    if installed() is None:
        raise StartError(f"Prometheus is not installed: {GET}")
    folder.mkdir(parents=True, exist_ok=True)
    every = {"interval": interval, "scrapeTimeout": interval}
    monitors = chart.monitors(
        namespace=namespace, watched=watched, values={"podMonitor": every, "serviceMonitor": every}
    )
    port = process.free_port()
    command = [sys.executable, "-m", "scripts.monitoring.discovery"]
    command += ["--kubeconfig", str(kubeconfig), "--port", str(port)]
    discovery = process.start("discovery", command, folder=folder, port=port, ready="/")
    try:
        configuration = scrape.configuration(
            monitors, pods=discovery.url, operator=operator, rules=[str(chart.RULES)], interval=interval
        )
        return Stack(discovery, start_prometheus(folder, configuration))
    except BaseException:
        discovery.stop()
        raise


def start_prometheus(folder: Path, configuration: Mapping[str, Any]) -> Part:
    """Start Prometheus alone, with this configuration, and wait until it is ready. Raises StartError."""
    program = installed()
    if program is None:
        raise StartError(f"Prometheus is not installed: {GET}")
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(dict(configuration), sort_keys=False))
    port = process.free_port()
    command = [program, f"--config.file={written}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    return process.start("prometheus", command, folder=folder, port=port, ready="/-/ready")


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Stack]:
    """A stack that is gone at the end; see `start`."""
    stack = start(folder, **settings)
    try:
        yield stack
    finally:
        stack.stop()
