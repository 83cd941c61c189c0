"""The dataset card: README.md at the destination, as the Hugging Face Hub and `datasets` read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from rephrase_worker import layout
from rephrase_worker.finalizer import figures
from rephrase_worker.manifests import Account
from rephrase_worker.plan import Plan
from rephrase_worker.spec import Prompt, Recipe

_TEMPLATE = Path(__file__).with_name("templates") / "card.md"

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
    (10_000_000_000, "1B<n<10B"),
    (100_000_000_000, "10B<n<100B"),
    (1_000_000_000_000, "100B<n<1T"),
)
"""The Hub's size categories, by the number of rows that they end below."""


def card(recipe: Recipe, plan: Plan, account: Account) -> str:
    """The card's Markdown. Its front matter names one configuration a prompt, for `datasets.load_dataset`."""
    # `datasets` can load none of the configurations if one of them has no file.
    configurations = [name for name, totals in account.prompts.items() if totals.bytes]
    errors = figures.errors(account)
    made = DatasetCard.from_template(
        _metadata(recipe, account, configurations),
        template_path=str(_TEMPLATE),
        title=_line(recipe.job.name),
        verdict=figures.verdict(account),
        documents=f"{figures.number(account.documents)} document{'' if account.documents == 1 else 's'}",
        model=_code(recipe.model.name),
        example=configurations[0] if configurations else None,
        recipe=_table(("", ""), [(name, _code(value)) for name, value in figures.recipe_facts(recipe, plan)]),
        account=_table(figures.HEADINGS, figures.table(account)),
        missing_note=figures.missing_note(account),
        errors=_table(figures.ERROR_HEADINGS, errors) if errors else None,
        prompts=[_shown(prompt) for prompt in recipe.prompts],
    )
    return f"{made}\n"


def _metadata(recipe: Recipe, account: Account, configurations: Sequence[str]) -> DatasetCardData:
    """What the Hub filters by, and where `datasets` finds each configuration."""
    rows = figures.rows(account)
    return DatasetCardData(
        pretty_name=recipe.job.name,
        tags=["synthetic", "rephrased"],
        size_categories=[next((name for below, name in _SIZES if rows < below), "n>1T")] if rows else None,
        configs=[{"config_name": name, "data_files": layout.sample_glob(name)} for name in configurations]
        or None,
    )


def _shown(prompt: Prompt) -> dict[str, str]:
    return {"name": prompt.name, "hash": _code(prompt.hash), "template": _fenced(prompt.template)}


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _line(text: str) -> str:
    """The text on one line, with its markup escaped."""
    return re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", escape(" ".join(text.split()), quote=False))


def _code(text: str) -> str:
    """An inline code span. A backtick would end it, a line break would end the table's row around it."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    # All line endings alike: the card's own would follow those of a prompt otherwise.
    return "\n".join((f"{fence}text", *text.splitlines(), fence))
