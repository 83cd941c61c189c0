"""`rephrase prompts list`: every prompt of the library in a table."""

from __future__ import annotations

import argparse
import sys

from rephrase_operator.commands.parsers import Commands

_WIDE = 200
"""Columns of a table that goes into a pipe or a file: no line is broken there."""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("list", help="list the prompts of the library")
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:  # noqa: ARG001, every command takes what was parsed
    from rich.console import Console
    from rich.table import Table

    from rephrase_operator.library import library

    try:
        prompts = library().values()
    except ValueError as error:
        sys.stderr.write(f"rephrase prompts list: {error}\n")
        return 2
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column("NAME", style="cyan", no_wrap=True)
    table.add_column("TITLE")
    table.add_column("STRUCTURE", no_wrap=True)
    table.add_column("TOKENS", justify="right")
    table.add_column("ORIGIN")
    for prompt in prompts:
        facts = prompt.facts
        table.add_row(prompt.name, facts.title, facts.structure, str(facts.expected_tokens), facts.origin)
    console.print(table)
    return 0
