"""`rephrase prompts list`: every prompt that all jobs can name, in a table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rephrase_operator.commands.parsers import Commands

_WIDE = 200
"""Columns of a table that goes into a pipe or a file: no line is broken there."""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("list", help="list the prompts that every job can name")
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FOLDER",
        help="the installer's prompts, each in NAME.md; in the operator's pod: /etc/rephrase/prompts",
    )
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from rephrase_operator.library import BrokenPrompt, library, with_house_prompts

    try:
        prompts = with_house_prompts(parsed.prompts) if parsed.prompts else library()
    except (ValueError, OSError) as error:
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
    for name, prompt in prompts.items():
        if isinstance(prompt, BrokenPrompt):
            table.add_row(name, f"can't be used: {prompt.why.partition('. ')[0]}", style="red")
            continue
        facts = prompt.facts
        tokens = "" if facts.expected_tokens is None else str(facts.expected_tokens)
        table.add_row(name, facts.title, facts.structure, tokens, facts.origin)
    console.print(table)
    return 0
