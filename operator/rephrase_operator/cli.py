"""The `rephrase` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from rephrase_operator.commands import prompts, run, verify, watch

COMMANDS = (run, watch, prompts, verify)
"""Every command, in the order in which `rephrase --help` lists them."""


def parser() -> argparse.ArgumentParser:
    """The command line with every command."""
    whole = argparse.ArgumentParser(
        prog="rephrase", description="Turn datasets into rephrasings of them, on Kubernetes."
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parsed = parser().parse_args(arguments)
    chosen: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return chosen(parsed)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
