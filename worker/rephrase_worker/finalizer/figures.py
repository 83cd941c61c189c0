"""The figures that dataset card and report both show, as text."""

from __future__ import annotations

from rephrase_worker import layout
from rephrase_worker.intervals import shortened
from rephrase_worker.manifests import Account, PromptTotals
from rephrase_worker.plan import Plan
from rephrase_worker.source import names
from rephrase_worker.spec import Recipe

_SHOWN_CHARACTERS = 1_000
"""Of the missing shards' intervals."""

HEADINGS = (
    "Prompt",
    "Planned",
    "Text",
    "Empty",
    "Errors",
    "Missing",
    "Input tokens",
    "Cached",
    "Output tokens",
    "Mean output",
    "Ended by length",
    "Documents cut",
)


def table(account: Account) -> list[tuple[str, ...]]:
    """One row of cells a prompt, to go below `HEADINGS`."""
    return [_row(name, totals) for name, totals in account.prompts.items()]


def errors(account: Account) -> list[tuple[str, str, str]]:
    """Prompt, code and count of every kind of error, most frequent first within a prompt."""
    return [
        (name, code, number(count))
        for name, totals in account.prompts.items()
        for code, count in totals.errors.items()
    ]


def recipe_facts(recipe: Recipe, plan: Plan) -> list[tuple[str, str]]:
    """Names and values of what the dataset was made from."""
    sampling = recipe.sampling.model_dump(by_alias=True, exclude_none=True, exclude={"rollouts", "stop"})
    facts = [
        ("Source", recipe.source.uri),
        ("Source revision", plan.source_revision),
        ("Model", recipe.model.name),
        ("Model revision", plan.model_revision),
        ("Sampling", ", ".join(f"{name} {value}" for name, value in sampling.items())),
        ("Outputs per document and prompt", str(recipe.sampling.rollouts)),
        ("Recipe", recipe.hash),
        ("Not read of the source", skipped_note(plan)),
    ]
    return [(name, value) for name, value in facts if value]


def skipped_note(plan: Plan) -> str | None:
    """How much lies in the source that was not read, and the first of it with the reasons."""
    if not plan.skipped_files:
        return None
    return f"{number(plan.skipped_files)}: {names.summary(plan.skipped, plan.skipped_files)}"


def missing_note(account: Account) -> str | None:
    """A sentence on what is missing, if anything is."""
    if not account.missing_shards:
        return None
    shards = shortened(account.missing_shard_numbers, _SHOWN_CHARACTERS).replace(",", ", ")
    all_of_them = f" {layout.ACCOUNT} names all of them." if shards.endswith("...") else ""
    exactness = "" if account.documents_exact else " Their documents are an estimate."
    return (
        f"{number(account.missing_shards)} of {number(account.shards)} shards did not finish: "
        f"{shards}.{all_of_them}{exactness}"
    )


def number(value: int) -> str:
    """1,234,567."""
    return f"{value:,}"


def _row(name: str, totals: PromptTotals) -> tuple[str, ...]:
    rows = totals.text + totals.error
    return (
        name,
        number(totals.planned),
        number(totals.text),
        number(totals.empty),
        number(totals.error),
        number(totals.missing),
        number(totals.prompt_tokens),
        _share(totals.cached_prompt_tokens, totals.prompt_tokens),
        number(totals.output_tokens),
        f"{totals.output_tokens / totals.text:.0f}" if totals.text else "-",
        _share(totals.finish_reasons.get("length", 0), totals.text),
        _share(totals.truncated, rows),
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
