"""What the jobs run on: a local cluster of three nodes, two releases of the operator, and a Prometheus.

One release serves CPUs and one serves GPUs, each in its own namespaces, because the name of the accelerator
is a setting of the release. The GPUs are names on nodes: no pod of this run uses one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcluster import Cluster, running
from scripts.dashboard import jobs
from scripts.monitoring import chart, process, scrape, stack

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "rephrase-operator"
SCRAPE_SECONDS = 5


@dataclass(frozen=True)
class Release:
    """One installation of the operator."""

    home: str
    watched: str
    accelerator: str
    """Name of a GPU in a pod's resources; empty on CPUs."""


RELEASES = (
    Release("rephrase-cpu", jobs.REAL_NAMESPACE, ""),
    Release("rephrase-gpu", jobs.SIMULATED_NAMESPACE, "nvidia.com/gpu"),
)


@dataclass(frozen=True)
class Stage:
    """What runs."""

    cluster: Cluster
    folder: Path
    prometheus: str
    """URL of the API."""

    def claim(self, name: str) -> Path:
        """Where the files of a claim of the real job are."""
        found = self.cluster.get("persistentvolumeclaim", name, "--namespace", jobs.REAL_NAMESPACE)
        return self.folder / "cluster" / "claims" / str(found["metadata"]["uid"])


@contextmanager
def standing(folder: Path) -> Iterator[Stage]:
    """Start everything in `folder`, and end it again."""
    with ExitStack() as parts, _worker_first_on_path():
        cluster = parts.enter_context(running(folder / "cluster", "--node", jobs.NODE))
        for node in jobs.GPU_NODES:
            _add_gpu_node(parts, cluster, folder, node)
        cluster.kubectl("apply", "-f", str(ROOT / "crds"))
        ports = {release: process.free_port() for release in RELEASES}
        for release, port in ports.items():
            _install(parts, cluster, folder, release, port)
        for name in jobs.CLAIMS:
            cluster.apply(_claim(name))
        yield Stage(cluster, folder, _monitor(parts, cluster, folder, ports))


@contextmanager
def _worker_first_on_path() -> Iterator[None]:
    """Put this run's worker in front of the project's, for the pods."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{Path(__file__).parent / 'bin'}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _add_gpu_node(parts: ExitStack, cluster: Cluster, folder: Path, name: str) -> None:
    # A node keeps its claims' files in its folder. Here the nodes share them, as with a network file system.
    (folder / name).mkdir()
    (folder / "cluster" / "claims").mkdir(exist_ok=True)
    (folder / name / "claims").symlink_to(folder / "cluster" / "claims")
    command = [sys.executable, "-m", "localcluster", "kubelet", "--kubeconfig", str(cluster.kubeconfig)]
    _spawn(parts, folder / f"{name}.log", [*command, "--dir", str(folder / name), "--node", name])
    cluster.kubectl("wait", f"node/{name}", "--for=create", "--timeout=60s")
    cluster.kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=60s")
    room = {"status": {each: {"nvidia.com/gpu": "8"} for each in ("capacity", "allocatable")}}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps(room))
    cluster.kubectl("patch", f"node/{name}", *patch)


def _install(parts: ExitStack, cluster: Cluster, folder: Path, release: Release, port: int) -> None:
    """The chart's permissions, and the operator under them."""
    for name in (release.home, release.watched):
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    command = ["helm", "template", release.home, str(CHART), "--namespace", release.home]
    command += ["--set", f"watchNamespaces={{{release.watched}}}"]
    command += ["-s", "templates/rbac.yaml", "-s", "templates/serviceaccount.yaml"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cluster.kubectl("apply", "-f", "-", stdin=rendered)
    objects = [found for found in yaml.safe_load_all(rendered) if found]
    account = next(each for each in objects if each["kind"] == "ServiceAccount")["metadata"]["name"]
    token = cluster.kubectl("--namespace", release.home, "create", "token", account).stdout.strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig = folder / f"{release.home}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    pods = json.dumps({"acceleratorResource": release.accelerator})
    flags = [f"--namespace={release.watched}", f"--pod-defaults={pods}"]
    flags += ["--allow-local-paths", f"--metrics-port={port}", "--progress-seconds=2"]
    environment = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": release.home, "POD_NAME": "operator-0"}
    _spawn(parts, folder / f"{release.home}.log", ["rephrase", "run", *flags], environment)


def _monitor(parts: ExitStack, cluster: Cluster, folder: Path, ports: dict[Release, int]) -> str:
    """Prometheus, with the monitors and rules of both releases; returns its URL."""
    target = folder / "prometheus"
    target.mkdir(exist_ok=True)
    port = process.free_port()
    command = [sys.executable, "-m", "scripts.monitoring.discovery"]
    command += ["--kubeconfig", str(cluster.kubeconfig), "--port", str(port)]
    discovery = process.start("discovery", command, folder=target, port=port, ready="/")
    parts.callback(discovery.stop)
    every = {"interval": f"{SCRAPE_SECONDS}s", "scrapeTimeout": f"{SCRAPE_SECONDS}s"}
    configuration: dict[str, Any] = {"scrape_configs": []}
    for release, its_port in ports.items():
        found = scrape.configuration(
            chart.monitors(
                namespace=release.home,
                release=release.home,
                watched=(release.watched,),
                values={"podMonitor": every, "serviceMonitor": every},
            ),
            pods=discovery.url,
            operator=f"127.0.0.1:{its_port}",
            rules=[str(chart.RULES)],
            interval=every["interval"],
        )
        configuration = found | {"scrape_configs": configuration["scrape_configs"] + found["scrape_configs"]}
    prometheus = stack.start_prometheus(target, configuration)
    parts.callback(prometheus.stop)
    return prometheus.url


def _claim(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": jobs.REAL_NAMESPACE},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def _spawn(
    parts: ExitStack, log: Path, command: list[str], environment: dict[str, str] | None = None
) -> None:
    """Start a part that is ended with the stage."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def end() -> None:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()

    parts.callback(end)
