"""`rephrase run`: the operator itself."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from functools import partial

from rephrase_operator import settings
from rephrase_operator.commands.parsers import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="run the operator")
    parser.set_defaults(run=partial(_run, settings.Flags(parser)))


def _run(flags: settings.Flags, parsed: argparse.Namespace) -> int:
    from rephrase_operator.cluster.leader import LeadershipLostError
    from rephrase_operator.runtime.serving import serve

    chosen = flags.settings(parsed)
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
