"""The `rephrase` command."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from rephrase_operator import settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="rephrase", description="Turn datasets into rephrasings of them, on Kubernetes."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the operator")
    flags = settings.Flags(run)
    watch = commands.add_parser("watch", help="show a job's progress until it ends")
    watch.add_argument("name", help="name of the RephraseJob")
    watch.add_argument("-n", "--namespace", help="its namespace; the kubeconfig's by default")
    parsed = parser.parse_args(arguments)
    try:
        return _run(flags.settings(parsed)) if parsed.command == "run" else _watch(parsed)
    except KeyboardInterrupt:
        return 130


def _run(chosen: settings.Settings) -> int:
    from rephrase_operator.cluster.leader import LeadershipLostError
    from rephrase_operator.runtime.serving import serve

    logging.basicConfig(
        level=chosen.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        asyncio.run(serve(chosen))
    except LeadershipLostError as error:
        # The kubelet starts the process again, and the new one waits for the Lease.
        logging.getLogger(__name__).error("%s.", error)
        return 1
    return 0


def _watch(parsed: argparse.Namespace) -> int:
    from rephrase_operator.commands.watch import watch

    return asyncio.run(watch(parsed.name, parsed.namespace))


if __name__ == "__main__":
    sys.exit(main())
