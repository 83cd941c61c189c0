"""The page of a try: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rephrase_operator.commands.prompts.trying.answers import Row, TriedPrompt
from rephrase_operator.commands.prompts.trying.terminal import facts

# Documents, prompts and outputs are other people's text: all of it is escaped.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(model: str, prompts: Sequence[TriedPrompt], rows: Sequence[Row], *, reloads: bool) -> str:
    """The page's text. `reloads`: it loads itself again every two seconds, for --watch."""
    return _TEMPLATES.get_template("page.html").render(
        model=model, prompts=prompts, rows=rows, facts=facts, reloads=reloads
    )


def write(path: Path, text: str) -> None:
    """Write the page in one step, so that no browser loads half of it. Raises OSError."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, "utf-8", "replace")
    partial.replace(path)
