"""Prompts beside each other in the terminal: a table for each document, and a summary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from rephrase_operator.commands.prompts.trying.answers import Answer, Document, Row, TriedPrompt

NARROWEST = 44
"""Columns of the terminal for each prompt; with fewer they stand below each other."""
_EXCERPT = 300
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text without characters that would steer the terminal."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def show(console: Console, prompts: Sequence[TriedPrompt], row: Row) -> None:
    """Print a document and what every prompt made of it."""
    document, answers = row
    console.print(Rule(Text(visible(document.name), style="bold"), align="left"))
    console.print(Text(_excerpt(document), style="dim"))
    console.print()
    cells = [(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    if console.width // len(cells) >= NARROWEST:
        table = Table.grid(expand=True, padding=(0, 1))
        for _ in cells:
            table.add_column(ratio=1)
        table.add_row(*(_panel(*cell) for cell in cells))
        console.print(table)
    else:
        for cell in cells:
            console.print(_panel(*cell))


def summary(prompts: Sequence[TriedPrompt], rows: Sequence[Row]) -> RenderableType:
    """A line for each prompt over all documents."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("prompt", style="cyan")
    for name in ("structure", "cut", "errors", "tokens in", "tokens out", "seconds"):
        table.add_column(name, justify="right")
    for number, prompt in enumerate(prompts):
        answers = [row[1][number] for row in rows]
        good = [answer for answer in answers if answer.error is None]
        verdicts = [answer.has_structure(prompt) for answer in good]
        known = [verdict for verdict in verdicts if verdict is not None]
        table.add_row(
            visible(prompt.name),
            f"{sum(known)}/{len(known)}" if known else "-",
            str(sum(answer.cut for answer in good)),
            str(len(answers) - len(good)),
            _mean([answer.prompt_tokens for answer in good]),
            _mean([answer.output_tokens for answer in good]),
            f"{sum(answer.seconds for answer in good) / len(good):.1f}" if good else "-",
        )
    return table


def facts(prompt: TriedPrompt, answer: Answer) -> str:
    """The figures of an answer in a line."""
    holds = answer.has_structure(prompt)
    parts = [] if holds is None else [f"{'✓' if holds else '✗'} {prompt.prompt.structure}"]
    if answer.output_tokens is not None:
        parts.append(f"{answer.prompt_tokens} → {answer.output_tokens} tokens")
    parts.append(f"{answer.seconds:.1f} s")
    if answer.cut:
        parts.append("cut")
    if answer.truncated:
        parts.append("document truncated")
    return " · ".join(parts)


def _panel(prompt: TriedPrompt, answer: Answer) -> Panel:
    if answer.error is not None:
        body: RenderableType = Text(visible(answer.error), style="red")
        return Panel(body, title=Text(visible(prompt.name)), title_align="left", border_style="red")
    holds = answer.has_structure(prompt)
    colour = "yellow" if answer.cut or holds is False else "green" if holds else "cyan"
    return Panel(
        Group(Text(visible(answer.text.strip()))),
        title=Text(visible(prompt.name), style="bold"),
        subtitle=Text(facts(prompt, answer)),
        title_align="left",
        subtitle_align="left",
        border_style=colour,
    )


def _excerpt(document: Document) -> str:
    text = " ".join(visible(document.text[: 4 * _EXCERPT]).split())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def _mean(values: Sequence[int | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.0f}" if known else "-"
