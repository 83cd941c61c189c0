"""What the demo prints at its end: whole samples beside their documents, totals, what the texts are like, the
estimate beside what the job took, and what to try next.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich import box
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from rephrase_worker.plan import ShardPlan
from rephrase_worker.quality.report import QualityReport
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import Recipe
from scripts.demo.shell import ROOT, console

Row = dict[str, Any]

MANY_CHARACTERS = 4000
"""Longer texts (of the user's own documents) are cut, so that a screen does not fill with one of them."""

OPENING_CHARACTERS = 18
"""An opening is cut to this length, so that its table fits on 80 columns."""


def show(output: Path) -> None:
    """Print a whole sample of every prompt, then the totals."""
    recipe = Recipe.model_validate_json((output / "_rephrase" / "recipe.json").read_bytes())
    samples = {prompt.name: rows_of(output, prompt.name) for prompt in recipe.prompts}
    show_samples(samples, source_texts(output, recipe))
    show_totals(output)
    show_texts(output)


def rows_of(output: Path, prompt: str) -> list[Row]:
    """The samples of a prompt."""
    return [
        row for file in sorted((output / prompt).glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]


def show_samples(samples: dict[str, list[Row]], sources: dict[tuple[str, int], str]) -> None:
    """Print one sample of every prompt beside its document, each of another document while there are some."""
    shown: set[str] = set()
    for prompt, rows in samples.items():
        row = typical(rows, shown)
        if row is None:
            continue
        shown.add(row["id"])
        source = sources[row["source_file"], row["source_position"]]
        table = Table(box=box.ROUNDED, expand=True, padding=(0, 1), border_style="dim")
        table.add_column(f"document: {escape(row['id'])}", ratio=2, style="dim")
        table.add_column(f"{prompt}: {row['output_tokens']} tokens, {ending(row)}", ratio=3)
        table.add_row(tidy(source), tidy(row["text"]))
        console.print(table)


def typical(rows: list[Row], shown: set[str]) -> Row | None:
    """The sample of middle length: among those that ended by themselves, of documents not shown yet.

    None when the prompt has no text at all.
    """
    texts = [row for row in rows if (row["text"] or "").strip()]
    whole = [row for row in texts if row["finish_reason"] == "stop"] or texts
    fresh = [row for row in whole if row["id"] not in shown] or whole
    if not fresh:
        return None
    middle = statistics.median(len(row["text"]) for row in fresh)
    return min(fresh, key=lambda row: abs(len(row["text"]) - middle))


def ending(row: Row) -> str:
    """How an output ended, in words."""
    return "complete" if row["finish_reason"] == "stop" else "cut at maxTokens"


def source_texts(output: Path, recipe: Recipe) -> dict[tuple[str, int], str]:
    """The documents' texts by file and position, read again by the frozen plan."""
    texts = {}
    for path in sorted((output / "_rephrase" / "plan").glob("shard-*.json")):
        shard = ShardPlan.model_validate_json(path.read_bytes())
        for document in ShardReader(shard, recipe.source).run():
            key = document.metadata["source_file"], document.metadata["source_position"]
            texts[key] = document.text
    return texts


def tidy(text: str) -> str:
    """A text for a cell: no empty lines around it, its own markup escaped."""
    text = text.strip()
    return escape(text if len(text) <= MANY_CHARACTERS else text[:MANY_CHARACTERS].rstrip() + " …")


def show_totals(output: Path) -> None:
    """Print the account: what was planned, what became of it, and how the outputs ended."""
    account: dict[str, Any] = json.loads((output / "_rephrase" / "account.json").read_text())
    title = f"[bold]account[/]: {account['documents']} documents in {account['shards']} shards"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # 80 columns wide at most
    table.add_column("prompt")
    for column in ("planned", "text", "error", "missing", "empty", "complete", "cached", "tokens"):
        table.add_column(column, justify="right")
    for name, totals in account["prompts"].items():
        table.add_row(
            name,
            *(f"{totals[key]:,}" for key in ("planned", "text", "error", "missing", "empty")),
            share(totals["finishReasons"].get("stop", 0), totals["text"]),
            share(totals["cachedPromptTokens"], totals["promptTokens"]),
            f"{totals['outputTokens']:,}",
        )
    console.print(table)
    console.print(
        "[dim]planned = text + error + missing\n"
        "empty: texts with nothing in them\n"
        "complete: outputs that ended by themselves, before maxTokens\n"
        "cached: prompt tokens that came from the prefix cache\n"
        "tokens: output tokens[/]\n"
    )


def show_texts(output: Path) -> None:
    """Print what the texts of each prompt are like: do they have their structure, and how do they open?"""
    quality = QualityReport.model_validate_json((output / "_rephrase" / "quality.json").read_bytes())
    table = Table(title="[bold]what the texts are like[/]", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("prompt", no_wrap=True)
    table.add_column("structure", no_wrap=True)
    table.add_column("have it", justify="right")
    table.add_column("frequent opening", no_wrap=True)
    table.add_column("texts", justify="right", no_wrap=True)
    for name, found in quality.prompts.items():
        top = next(iter(found.openings.get("firstSentence", [])), None)
        rate = "-" if found.structure_rate is None else f"{found.structure_rate:.0%}"
        opening = ("-", "-") if top is None else (begin(top.text), f"{top.count} of {found.samples}")
        table.add_row(name, found.structure or "-", rate, *opening)
    console.print(table)
    console.print(
        "[dim]have it: texts with the structure that the prompt asks for; small models often miss it\n"
        "frequent opening: when many texts open alike, the model writes from a template[/]\n"
    )


def begin(text: str) -> str:
    """The beginning of a text for a cell, its own markup escaped."""
    return escape(text if len(text) <= OPENING_CHARACTERS else text[:OPENING_CHARACTERS].rstrip() + "…")


def show_estimate(status: Row) -> None:
    """Print what was estimated before the job began beside what it took; `status` is the RephraseJob's."""
    estimate, progress = status.get("estimate"), status.get("progress") or {}
    if not estimate:
        return
    table = Table(title="[bold]estimate, and what it took[/]", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for column in ("at least", "expected", "at most", "took"):
        table.add_column(column, justify="right")
    for name, key, took in (
        ("documents", "documents", progress.get("documents")),
        ("prompt tokens", "promptTokens", progress.get("promptTokens")),
        ("output tokens", "outputTokens", progress.get("outputTokens")),
    ):
        asked = estimate[key]
        figures = (asked["low"], asked["expected"], asked["high"], took or 0)
        table.add_row(name, *(f"{figure:,.0f}" for figure in figures))
    console.print(table)


def share(part: int, whole: int) -> str:
    """A percentage; a dash of nothing."""
    return f"{part / whole:.0%}" if whole else "-"


def show_next_steps(output: Path, steps: Sequence[str]) -> None:
    """Say where the dataset lies and what to try next."""
    folder = output.relative_to(ROOT)
    lines = [
        f"dataset   {folder}/",
        f"card      {folder}/README.md",
        f"report    {folder}/_rephrase/report.html",
        "",
        *steps,
    ]
    text = escape("\n".join(lines))
    console.print(Panel(text, title="what to try next", expand=False, padding=(1, 2)))
