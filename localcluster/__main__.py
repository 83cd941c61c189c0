"""The command: `python -m localcluster up`, or `kubelet` for a node of another cluster."""

import argparse
import asyncio
import base64
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import yaml

from localcluster.apiserver import ApiServer
from localcluster.certificates import loopback_tls
from localcluster.client import Client
from localcluster.garbage import GarbageCollector
from localcluster.jobcontroller import JobController
from localcluster.kubelet import Kubelet


def write_kubeconfig(path: Path, url: str, token: str, authority: bytes) -> None:
    """Write a file in one step, so that a file that exists is complete."""
    name = "localcluster"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": url,
                    "certificate-authority-data": base64.b64encode(authority).decode(),
                },
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
    }
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(yaml.safe_dump(config))
    draft.replace(path)


async def up(options: argparse.Namespace) -> None:
    """Run all parts in one process. They talk to each other only over HTTP."""
    server = ApiServer()
    context, authority = loopback_tls()
    runner, url = await server.start(context, options.port)
    token = server.authority.admin_token
    try:
        async with Client.local(url, token, authority) as client, asyncio.TaskGroup() as group:
            group.create_task(JobController(client, timedelta(seconds=options.backoff)).run())
            group.create_task(GarbageCollector(client).run())
            group.create_task(Kubelet(client, options.dir, options.node).run())
            while True:
                nodes = (await client.get("/api/v1/nodes"))["items"]
                if any(node.get("status") for node in nodes):
                    break
                await asyncio.sleep(0.01)
            write_kubeconfig(options.dir / "kubeconfig", url, token, authority)
            sys.stdout.write(f"the cluster is up: export KUBECONFIG={options.dir / 'kubeconfig'}\n")
            sys.stdout.flush()
    finally:
        (options.dir / "kubeconfig").unlink(missing_ok=True)
        await runner.cleanup()


async def kubelet(options: argparse.Namespace) -> None:
    """A node for any API server."""
    async with await Client.from_kubeconfig(options.kubeconfig) as client:
        await Kubelet(client, options.dir, options.node).run()


async def until_signalled(options: argparse.Namespace) -> None:
    """Run a command; SIGINT and SIGTERM end it in good order."""
    task = asyncio.ensure_future((up if options.command == "up" else kubelet)(options))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="localcluster", description="A laptop-size Kubernetes: a test double."
    )
    commands = whole.add_subparsers(dest="command", required=True)
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--dir", type=Path, required=True, help="where pods and the kubeconfig go")
    both.add_argument("--node", default="local", help="name of the node")
    everything = commands.add_parser("up", parents=[both], help="run everything until SIGINT or SIGTERM")
    everything.add_argument("--port", type=int, default=0, help="of the API server; 0 takes a free one")
    everything.add_argument(
        "--backoff", type=float, default=10.0, help="first pause before a retry, in seconds"
    )
    alone = commands.add_parser("kubelet", parents=[both], help="run only a node, for another API server")
    alone.add_argument("--kubeconfig", type=Path, required=True)
    return whole


def main() -> None:
    """Parse the command line and run."""
    options = parser().parse_args()
    options.dir = options.dir.absolute()
    options.dir.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=os.environ.get("LOCALCLUSTER_LOG", "WARNING"))
    asyncio.run(until_signalled(options))


if __name__ == "__main__":
    main()
