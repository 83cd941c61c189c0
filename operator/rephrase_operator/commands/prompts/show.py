"""`rephrase prompts show NAME`: what a prompt is for, and the text that the model gets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rephrase_operator.commands.parsers import Commands
from rephrase_operator.library import Facts, Layout

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rephrase_operator.commands.prompts.choose import ChosenPrompt


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "show",
        help="show a prompt in its layouts",
        description="Show what a prompt is for and the text that the model gets. With --layout only the text "
        "is printed, as it can be put into spec.prompts[].template.",
    )
    parser.add_argument(
        "prompt", metavar="NAME|FILE", help="name of a prompt of the library, or a prompt file of your own"
    )
    parser.add_argument(
        "--layout",
        choices=[layout.value for layout in Layout],
        help="print the prompt in this layout and nothing else",
    )
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    from rich.console import Console, Group

    from rephrase_operator.commands.prompts.choose import UnknownPromptError, choose

    try:
        chosen = choose(parsed.prompt)
        if parsed.layout is not None:
            sys.stdout.write(chosen.prompt.template(Layout(parsed.layout)) + "\n")
            return 0
    except (UnknownPromptError, ValueError) as error:
        sys.stderr.write(f"rephrase prompts show: {error}\n")
        return 2
    Console(highlight=False).print(Group(*_screen(chosen)))
    return 0


def _screen(chosen: ChosenPrompt) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    yield Text(chosen.name, style="bold cyan")
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, value in _facts(chosen.prompt.facts):
        facts.add_row(name, value)
    if facts.row_count:
        yield facts
    layouts: list[Layout | None] = list(Layout) if chosen.has_layouts else [None]
    for layout in layouts:
        yield Text()
        yield Rule(str(layout or "template"), align="left", style="dim")
        yield Padding(Text(chosen.prompt.template(layout)), (0, 0, 0, 2))


def _facts(facts: Facts) -> Iterator[tuple[str, str]]:
    """What the front matter says, in the words of the screen."""
    sampling = facts.sampling
    said = {
        "title": facts.title,
        "intent": facts.intent,
        "origin": facts.origin,
        "structure": facts.structure,
        "expected tokens": facts.expected_tokens,
        "suggested temperature": sampling.temperature,
        "suggested maxTokens": sampling.max_tokens,
        "version": facts.version,
        "system message": facts.system,
    }
    return ((name, str(value)) for name, value in said.items() if value is not None)
