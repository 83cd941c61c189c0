"""The report: one HTML page with the card's figures, without any other files."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rephrase_worker.finalizer import figures
from rephrase_worker.manifests import Account
from rephrase_worker.plan import Plan
from rephrase_worker.spec import Recipe

_KINDS = {"text": "text", "empty": "empty text", "error": "error", "missing": "missing"}
"""What the colours of the bars mean."""

# Names, URIs and prompts are the users' own: all of them are escaped.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def report(recipe: Recipe, plan: Plan, account: Account) -> str:
    """The page's HTML."""
    return _TEMPLATES.get_template("report.html").render(
        name=f"{recipe.job.namespace}/{recipe.job.name}",
        verdict=figures.verdict(account),
        missing_note=figures.missing_note(account),
        summary=figures.summary(account),
        bars=figures.bars(account),
        kinds=_KINDS,
        headings=figures.HEADINGS,
        table=figures.table(account),
        error_headings=figures.ERROR_HEADINGS,
        errors=figures.errors(account),
        recipe_facts=figures.recipe_facts(recipe, plan),
        prompts=recipe.prompts,
    )
