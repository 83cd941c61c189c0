"""What the demo prints at its end: source and output pairs, totals, what to try next."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from rephrase_worker.plan import ShardPlan
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import Recipe

PAIRS = 2
"""Source and output pairs that are shown of each prompt."""
CHARACTERS = 320
"""Of each text of a pair."""

console = Console(highlight=False)


def show_samples(output: Path) -> None:
    """Print some source and output pairs of every prompt, the longest outputs first."""
    recipe = Recipe.model_validate_json((output / "_rephrase" / "recipe.json").read_bytes())
    sources = source_texts(output, recipe)
    for prompt in recipe.prompts:
        files = sorted((output / prompt.name).glob("*.parquet"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist() if row["text"]]
        rows.sort(key=lambda row: -len(row["text"].strip()))
        table = Table(title=f"[bold]{prompt.name}[/]", show_lines=True, expand=True)
        table.add_column("source", ratio=1, style="dim")
        table.add_column("rephrased", ratio=1)
        for row in islice(rows, PAIRS):
            source = sources[row["source_file"], row["source_position"]]
            table.add_row(f"{escape(row['id'])}\n{clip(source)}", clip(row["text"]))
        console.print(table)


def source_texts(output: Path, recipe: Recipe) -> dict[tuple[str, int], str]:
    """The documents' texts by file and position, read again by the frozen plan."""
    texts = {}
    for path in sorted((output / "_rephrase" / "plan").glob("shard-*.json")):
        shard = ShardPlan.model_validate_json(path.read_bytes())
        for document in ShardReader(shard, recipe.source).run():
            key = document.metadata["source_file"], document.metadata["source_position"]
            texts[key] = document.text
    return texts


def clip(text: str) -> str:
    """The start of a text without blank lines, its own markup escaped."""
    lines = "\n".join(line.strip() for line in text.splitlines() if line.strip())
    return escape(lines if len(lines) <= CHARACTERS else lines[:CHARACTERS].rstrip() + " …")


def show_totals(output: Path) -> None:
    """Print the account: what was planned, and what became of it."""
    account: dict[str, Any] = json.loads((output / "_rephrase" / "account.json").read_text())
    table = Table(title=f"[bold]account[/]: {account['documents']} documents in {account['shards']} shards")
    for column in (
        "prompt",
        "planned",
        "text",
        "error",
        "missing",
        "prompt tokens",
        "cached",
        "output tokens",
    ):
        table.add_column(column, justify="left" if column == "prompt" else "right")
    for name, totals in account["prompts"].items():
        cached = totals["cachedPromptTokens"] / max(1, totals["promptTokens"])
        counts = [totals[key] for key in ("planned", "text", "error", "missing", "promptTokens")]
        table.add_row(
            name, *(f"{count:,}" for count in counts), f"{cached:.0%}", f"{totals['outputTokens']:,}"
        )
    console.print(table)


def show_next_steps(output: Path, kubeconfig: Path | None, port: int, *, root: Path) -> None:
    """Say where the dataset lies and what to try next; `kubeconfig` when the cluster stays up."""
    folder = output.relative_to(root)
    lines = [
        f"dataset   {folder}/",
        f"card      {folder}/README.md",
        f"report    {folder}/_rephrase/report.html",
        "",
    ]
    if kubeconfig is None:
        lines += [
            "make demo-up                  the cluster stays up, to try",
            "                              kubectl get rephrasejobs, kubectl describe,",
            "                              and the operator's /metrics",
            "DOCS=100 make demo            more documents",
            "INPUT=my.parquet make demo    your own documents (field: text)",
        ]
    else:
        lines += [
            f"export KUBECONFIG={kubeconfig}",
            "kubectl get rephrasejobs -o wide",
            "kubectl describe rephrasejob demo",
            "kubectl get jobs,pods",
            f"curl -s http://127.0.0.1:{port}/metrics | grep ^rephrase_",
            "make demo-down                ends it all",
        ]
    console.print(Panel("\n".join(lines), title="what to try next", expand=False, padding=(1, 2)))
