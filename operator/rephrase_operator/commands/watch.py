"""`rephrase watch NAME`: a job's progress, live, until it ends."""

from __future__ import annotations

import argparse
import asyncio

from rephrase_operator.commands.parsers import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("watch", help="show a job's progress until it ends")
    parser.add_argument("name", help="name of the RephraseJob")
    parser.add_argument("-n", "--namespace", help="its namespace; the kubeconfig's by default")
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    from rephrase_operator.commands.live import watch

    return asyncio.run(watch(parsed.name, parsed.namespace))
