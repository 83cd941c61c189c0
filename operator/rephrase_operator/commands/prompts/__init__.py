"""`rephrase prompts`: look at prompts and try them out, without a cluster. A module for each subcommand."""

from __future__ import annotations

from rephrase_operator.commands.parsers import Commands
from rephrase_operator.commands.prompts import listing, render, show, tryout

SUBCOMMANDS = (listing, show, render, tryout)
"""Every subcommand, in the order in which `rephrase prompts --help` lists them."""


def add(commands: Commands) -> None:
    """Add the command and its subcommands."""
    parser = commands.add_parser(
        "prompts",
        help="look at the prompt library and at your own prompts",
        description="Look at the prompt library and at your own prompts, without a cluster.",
    )
    subcommands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    for subcommand in SUBCOMMANDS:
        subcommand.add(subcommands)
