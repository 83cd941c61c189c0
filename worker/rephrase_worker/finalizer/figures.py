"""The figures and sentences that both the dataset card and the report show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rephrase_worker import layout, manifests
from rephrase_worker.intervals import shortened
from rephrase_worker.manifests import Account, PromptTotals
from rephrase_worker.mixes import MixAccount
from rephrase_worker.plan import Plan
from rephrase_worker.source import names
from rephrase_worker.spec import Recipe

_SHOWN_CHARACTERS = 300
"""Of the missing shards' intervals."""

_HEADINGS = (
    "Prompt",
    "Planned",
    "Text",
    "Empty",
    "Errors",
    "Left out",
    "Missing",
    "Input tokens",
    "Cached",
    "Output tokens",
    "Mean output",
    "Ended by length",
    "Documents cut",
)
_LEFT_OUT = _HEADINGS.index("Left out")
"""The column of outputs without the prompt's structure. Only a dataset that leaves some out has it."""

ERROR_HEADINGS = ("Prompt", "Code", "Samples", "Share")


@dataclass(frozen=True)
class Verdict:
    """Whether the dataset is whole, in one sentence."""

    complete: bool
    sentence: str


Kind = Literal["text", "empty", "error", "filtered", "missing"]


@dataclass(frozen=True)
class Part:
    """A share of a prompt's planned samples."""

    kind: Kind
    count: str
    percent: str
    """The share for CSS: `12.345%`."""


def verdict(account: Account) -> Verdict:
    """The sentence to read first."""
    totals = _totals(account)
    planned, missing = _planned(account), _missing(account)
    about = "" if account.documents_exact else "about "
    if missing or account.missing_shards:
        return Verdict(
            False,
            f"Incomplete: {about}{number(missing)} of {about}{number(planned)} planned samples "
            f"({share(missing, planned)}) are missing, because {number(account.missing_shards)} of "
            f"{_count(account.shards, 'shard')} did not finish.",
        )
    remarks = []
    if totals.error:
        remarks.append(
            f"{number(totals.error)} of them ({share(totals.error, planned)}) with an error instead of a text"
        )
    if totals.empty:
        remarks.append(f"{number(totals.empty)} ({share(totals.empty, planned)}) with an empty text")
    sentence = f"Complete: every one of {_count(planned, 'planned sample')} is there"
    if totals.filtered:
        sentence = (
            f"Complete: every one of {_count(planned, 'planned sample')} is accounted for, "
            f"{number(totals.filtered)} of them ({share(totals.filtered, planned)}) left out because they "
            "don't have their prompt's structure"
        )
    return Verdict(True, ", ".join([sentence, " and ".join(remarks)]) + "." if remarks else sentence + ".")


def summary(account: Account) -> list[tuple[str, str]]:
    """Names and values of the whole job's figures."""
    totals = _totals(account)
    left_out = [("Left out", number(totals.filtered))] if totals.filtered else []
    return [
        ("Documents", number(account.documents)),
        ("Prompts", number(len(account.prompts))),
        ("Planned samples", number(_planned(account))),
        ("Texts", number(totals.text)),
        ("Empty texts", number(totals.empty)),
        ("Errors", number(totals.error)),
        *left_out,
        ("Missing", number(_missing(account))),
        ("Output tokens", number(totals.output_tokens)),
    ]


def headings(account: Account) -> tuple[str, ...]:
    """The heads of the table's columns."""
    return _shown(account, _HEADINGS)


def table(account: Account) -> list[tuple[str, ...]]:
    """A row of cells for each prompt, in the order of `headings`."""
    return [_shown(account, _row(name, totals)) for name, totals in account.prompts.items()]


def _shown(account: Account, cells: tuple[str, ...]) -> tuple[str, ...]:
    return cells if _totals(account).filtered else (*cells[:_LEFT_OUT], *cells[_LEFT_OUT + 1 :])


def bars(account: Account) -> list[tuple[str, list[Part]]]:
    """Each prompt with what became of its planned samples; parts without samples are left out."""
    return [(name, _parts(totals)) for name, totals in account.prompts.items()]


def errors(account: Account) -> list[tuple[str, str, str, str]]:
    """A row of cells for each kind of error, in the order of `ERROR_HEADINGS`; most frequent first."""
    return [
        (name, code, number(count), share(count, totals.text + totals.error))
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


def mix_facts(mix: MixAccount) -> list[tuple[str, str]]:
    """Names and values of the mix."""
    facts = [
        ("Rows", number(mix.rows)),
        ("Tokens", number(mix.tokens)),
        ("Share of outputs", f"{mix.share_reached:.1%} of the tokens, {mix.share_asked:.1%} asked for"),
        ("Original documents", number(mix.original.used)),
        ("Seed", str(mix.seed)),
        ("Most repetitions", number(mix.most_repetitions)),
        ("Smaller than asked for", mix.short),
    ]
    return [(name, value) for name, value in facts if value]


def skipped_note(plan: Plan) -> str | None:
    """How much lies in the source that was not read, and the first of it with the reasons."""
    if not plan.skipped_files:
        return None
    return f"{number(plan.skipped_files)}: {names.summary(plan.skipped, plan.skipped_files)}"


def missing_note(account: Account) -> str | None:
    """Which shards are missing, if any are."""
    if not account.missing_shards:
        return None
    shards = shortened(account.missing_shard_numbers, _SHOWN_CHARACTERS).replace(",", ", ")
    rest = f" {layout.ACCOUNT} names all of them." if shards.endswith("...") else "."
    exactness = "" if account.documents_exact else " The number of their documents is an estimate."
    return f"The shards that did not finish: {shards}{rest}{exactness}"


def number(value: int) -> str:
    """1,234,567."""
    return f"{value:,}"


def compact(value: float) -> str:
    """A number for an axis: 900, 1,200, 12k, 3.4M."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= 10 * size or (value >= size and letter != "k"):
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def share(part: int, whole: int) -> str:
    """A percentage that is 0% only for nothing and 100% only for all."""
    if not whole:
        return "-"
    if 0 < part < whole / 1000:
        return "<0.1%"
    return f"{min(part / whole, 0.999 if part < whole else 1):.1%}"


def rows(account: Account) -> int:
    """Rows of all final files."""
    totals = _totals(account)
    return totals.text + totals.error


def _totals(account: Account) -> manifests.PromptAccount:
    return manifests.add(account.prompts.values())


def _planned(account: Account) -> int:
    return sum(totals.planned for totals in account.prompts.values())


def _missing(account: Account) -> int:
    return sum(totals.missing for totals in account.prompts.values())


def _count(value: int, noun: str) -> str:
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def _parts(totals: PromptTotals) -> list[Part]:
    counts: list[tuple[Kind, int]] = [
        ("text", totals.text - totals.empty),
        ("empty", totals.empty),
        ("error", totals.error),
        ("filtered", totals.filtered),
        ("missing", totals.missing),
    ]
    planned = max(1, totals.planned)
    return [Part(kind, number(count), f"{count / planned:.3%}") for kind, count in counts if count]


def _row(name: str, totals: PromptTotals) -> tuple[str, ...]:
    return (
        name,
        number(totals.planned),
        number(totals.text),
        number(totals.empty),
        number(totals.error),
        number(totals.filtered),
        number(totals.missing),
        number(totals.prompt_tokens),
        share(totals.cached_prompt_tokens, totals.prompt_tokens),
        number(totals.output_tokens),
        f"{totals.output_tokens / totals.text:.0f}" if totals.text else "-",
        share(totals.finish_reasons.get("length", 0), totals.text),
        share(totals.truncated, totals.text + totals.error),
    )
