"""A real API server from the binaries in $KUBEBUILDER_ASSETS, as `setup-envtest` lays them out.

etcd and kube-apiserver have to be there; with kube-controller-manager beside them Jobs are run by the real
controller.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import trustme
import yaml


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def started(log: Path, *command: str) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def real_api_server(assets: Path, directory: Path) -> Iterator[Path]:
    """The kubeconfig of an administrator."""
    token, api, etcd, peer = secrets.token_hex(16), free_port(), free_port(), free_port()
    key = directory / "accounts.key"
    trustme.CA().private_key_pem.write_to_path(str(key))
    tokens = directory / "tokens.csv"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    cluster = {"server": f"https://127.0.0.1:{api}", "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "real",
        "clusters": [{"name": "real", "cluster": cluster}],
        "users": [{"name": "real", "user": {"token": token}}],
        "contexts": [
            {"name": "real", "context": {"cluster": "real", "user": "real", "namespace": "default"}}
        ],
    }
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    client, peers = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
    data = (
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
    )
    raft = (
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
    )
    issuer = "https://kubernetes.default.svc"
    flags = (
        f"--etcd-servers={client}",
        "--bind-address=127.0.0.1",
        f"--secure-port={api}",
        f"--cert-dir={directory / 'pki'}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={issuer}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.96.0.0/24",
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
    )
    controller = assets / "kube-controller-manager"
    with contextlib.ExitStack() as stack:
        stack.enter_context(started(directory / "etcd.log", str(assets / "etcd"), *data, *raft))
        stack.enter_context(started(directory / "apiserver.log", str(assets / "kube-apiserver"), *flags))
        end = time.monotonic() + 60
        with httpx.Client(verify=False, headers={"Authorization": f"Bearer {token}"}) as http:
            while not ready(http, f"https://127.0.0.1:{api}/readyz"):
                assert time.monotonic() < end, (directory / "apiserver.log").read_text()[-2000:]
                time.sleep(0.2)
        if os.access(controller, os.X_OK):
            known = (
                f"--kubeconfig={kubeconfig}",
                f"--service-account-private-key-file={key}",
                "--leader-elect=false",
            )
            serving = (
                f"--secure-port={free_port()}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={directory / 'kcm'}",
            )
            log = directory / "controller.log"
            stack.enter_context(started(log, str(controller), *known, *serving))
        yield kubeconfig


def ready(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.TransportError:
        return False
