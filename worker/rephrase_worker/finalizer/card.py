"""The dataset card: README.md at the destination, as the Hugging Face Hub and `datasets` read it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from rephrase_worker import layout
from rephrase_worker.finalizer import figures
from rephrase_worker.manifests import Account
from rephrase_worker.plan import Plan
from rephrase_worker.spec import Recipe

_ACCOUNT = (
    "Every planned sample is a row with a text, a row with an error (its `text` is null), "
    "or missing with its shard."
)


def card(recipe: Recipe, plan: Plan, account: Account) -> str:
    """The card's Markdown. Its front matter names one configuration a prompt, for `datasets.load_dataset`."""
    prompts = f"{len(recipe.prompts)} prompt{'s' if len(recipe.prompts) > 1 else ''}"
    summary = (
        f"Synthetic text: {figures.number(account.documents)} documents, rephrased by "
        f"{_code(recipe.model.name)} with {prompts}. Each prompt is a configuration:"
    )
    usage = f'load_dataset("<this folder>", "{recipe.prompts[0].name}")'
    parts = [
        _front_matter(account),
        f"# {recipe.job.name}",
        summary,
        f"```python\nfrom datasets import load_dataset\n\n{usage}\n```",
        "## Recipe",
        _table(("", ""), [(name, _code(value)) for name, value in figures.recipe_facts(recipe, plan)]),
        "## Account",
        _ACCOUNT,
        _table(figures.HEADINGS, figures.table(account)),
    ]
    if note := figures.missing_note(account):
        parts.append(note)
    if errors := figures.errors(account):
        parts += ["### Errors", _table(("Prompt", "Code", "Samples"), errors)]
    parts.append("## Prompts")
    for prompt in recipe.prompts:
        parts += [f"### {prompt.name}", f"Hash {_code(prompt.hash)}.", _fenced(prompt.template)]
    return "\n\n".join(parts) + "\n"


def _front_matter(account: Account) -> str:
    """YAML; its strings are JSON strings, which YAML reads as they are."""
    lines = ["---", "tags:", "- synthetic", "- rephrased", "configs:"]
    for name, totals in account.prompts.items():
        # A configuration without any file would make the others fail to load.
        if totals.bytes:
            lines += [
                f"- config_name: {json.dumps(name)}",
                f"  data_files: {json.dumps(layout.sample_glob(name))}",
            ]
    if lines[-1] == "configs:":
        lines.pop()
    return "\n".join([*lines, "---"])


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
