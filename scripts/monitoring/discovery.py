"""The pods of a cluster as targets, for a Prometheus that can't ask Kubernetes itself (Debian's is built so).

Each pod gets the labels `__meta_kubernetes_...` that Prometheus' own discovery gives it
(https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod), so that the relabelings of a
PodMonitor apply as they are. Prometheus asks over HTTP (`http_sd_configs`), and every answer is a fresh list:

    python -m scripts.monitoring.discovery --kubeconfig FILE --port PORT
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LABEL_JOB = "rephrase.dev/job"
PREFIX = "__meta_kubernetes"
SECONDS = 30
"""Longest wait for the API server."""


def target_groups(pods: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One target for each port of each pod that has an address."""
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{port['containerPort']}"],
            "labels": _of_pod(pod) | _of_port(container, port),
        }
        for pod in pods
        if pod.get("status", {}).get("podIP")
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    ]


def label_name(name: str) -> str:
    """A label's name as Prometheus writes it."""
    return re.sub("[^a-zA-Z0-9_]", "_", name)


def _of_pod(pod: Mapping[str, Any]) -> dict[str, str]:
    meta, status = pod["metadata"], pod["status"]
    found = {
        f"{PREFIX}_namespace": meta["namespace"],
        f"{PREFIX}_pod_name": meta["name"],
        f"{PREFIX}_pod_ip": status["podIP"],
        f"{PREFIX}_pod_phase": status.get("phase", ""),
        f"{PREFIX}_pod_node_name": pod["spec"].get("nodeName", ""),
    }
    for name, value in meta.get("labels", {}).items():
        found[f"{PREFIX}_pod_label_{label_name(name)}"] = value
    return found


def _of_port(container: Mapping[str, Any], port: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{PREFIX}_pod_container_name": container["name"],
        f"{PREFIX}_pod_container_port_name": port.get("name", ""),
        f"{PREFIX}_pod_container_port_number": str(port["containerPort"]),
    }


def serve(kubeconfig: Path, port: int) -> None:
    """Answer on 127.0.0.1 until SIGTERM, with the pods of all jobs in all namespaces."""
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "get", "pods", "--all-namespaces"]
    command += ["--selector", LABEL_JOB, "--output", "json"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
            if done.returncode:
                # Prometheus keeps the targets that it knows and writes this to its log.
                self.send_error(502, "kubectl failed", done.stderr.decode(errors="replace"))
                return
            body = json.dumps(target_groups(json.loads(done.stdout)["items"])).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Only failures are worth a line."""
            if args[1:2] != ("200",):
                super().log_message(format, *args)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="The pods of jobs, for Prometheus' http_sd_configs.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    serve(arguments.kubeconfig, arguments.port)


if __name__ == "__main__":
    main()
