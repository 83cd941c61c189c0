"""Prometheus and the page with live panels, beside the demo on this machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from scripts.demo.page.view import SCRAPE_SECONDS
from scripts.demo.processes import Processes, answers
from scripts.demo.shell import DemoError, console
from scripts.monitoring import stack
from scripts.monitoring.process import StartError, free_port


def start(processes: Processes, kubeconfig: Path, namespace: str, operator_port: int) -> str:
    """Start Prometheus, if it is installed, and the page; returns the page's URL. Raises DemoError.

    Prometheus scrapes what the chart's own monitors say, `namespace` being that of the operator.
    """
    url = ""
    if stack.installed():
        url = start_prometheus(processes, kubeconfig, namespace, operator_port)
    else:
        console.print(f"There will be no live panels, because Prometheus is not installed: {stack.GET}")
    port = free_port()
    page = [sys.executable, "-m", "scripts.demo.page.server", f"--port={port}", f"--prometheus={url}"]
    processes.start("page", page, lambda: answers(port))
    return f"http://127.0.0.1:{port}/"


def start_prometheus(processes: Processes, kubeconfig: Path, namespace: str, operator_port: int) -> str:
    """Start Prometheus without the data of an earlier run; returns its URL."""
    folder = processes.folder / "prometheus"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        started = stack.start(
            folder,
            kubeconfig=kubeconfig,
            operator=f"127.0.0.1:{operator_port}",
            namespace=namespace,
            interval=f"{SCRAPE_SECONDS:g}s",
        )
    except StartError as error:
        raise DemoError(str(error)) from error
    for name, pid in started.processes.items():
        processes.adopt(name, pid)
    return started.url
