"""The HTTP server of a running worker: `/metrics` for Prometheus, `/progress` for the operator, `/healthz`.

It is a server of the standard library in daemon threads, so it answers while the event loop loads a model.
It only reads: no request changes anything.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from rephrase_worker.report.metrics import ProgressCollector
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.spec import WORKER_PORT, Reason, WorkerError

IDLE_SECONDS = 30.0
"""A connection is closed after this many seconds of silence."""
STOP_SECONDS = 0.1
"""How long stopping the server takes at most."""


class Telemetry:
    """The server, which runs inside a `with` block. `port` 0 takes any free port; see `url`.

    The registry is Prometheus' default one unless given, so that vLLM's own metrics are shown too.
    """

    def __init__(
        self, progress: ShardProgress, *, host: str, port: int, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._registry = registry
        self._collector = ProgressCollector(progress)
        try:
            self._server = _server(progress, registry, host, port)
        except OSError as error:
            raise WorkerError(
                Reason.INTERNAL,
                f"Telemetry can't listen on {host} port {port}: {error.strerror}. Another process has the "
                "port, or the address is not this pod's.",
            ) from error

    @property
    def url(self) -> str:
        """Base URL of the server."""
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._registry.register(self._collector)
        Thread(target=self._server.serve_forever, args=(STOP_SECONDS,), name="telemetry", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._registry.unregister(self._collector)


def address(environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Where to listen: $POD_IP, or loopback without one; the contract's port unless $REPHRASE_PORT is set."""
    return environment.get("POD_IP") or "127.0.0.1", int(environment.get("REPHRASE_PORT") or WORKER_PORT)


def _server(
    progress: ShardProgress, registry: CollectorRegistry, host: str, port: int
) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            # Scrapers often hang up early; that is not worth a line in the log. Other errors are.
            if not isinstance(sys.exception(), ConnectionError | TimeoutError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                case "/progress":
                    self._answer(200, "application/json", progress.report().to_json().encode())
                case "/healthz" if progress.healthy:
                    self._answer(200, "text/plain", b"ok\n")
                case "/healthz":
                    self._answer(503, "text/plain", b"the engine makes no tokens\n")
                case _:
                    self._answer(404, "text/plain", b"try /metrics, /progress or /healthz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log no requests: scrapes would fill the log."""

    return Server((host, port), Handler)
