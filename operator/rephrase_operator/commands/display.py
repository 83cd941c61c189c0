"""What `rephrase watch` shows of a job: a bar for the whole, a line of figures, and what is wrong."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rephrase_operator.api.status import Phase, Progress, RephraseJobStatus

_COLOURS = {Phase.SUCCEEDED: "green", Phase.FAILED: "red", Phase.SUSPENDED: "yellow"}
_FAILURES_SHOWN = 3
_PROMPTS_SHOWN = 8


def line(name: str, status: RephraseJobStatus) -> str:
    """A job's state in one line, for logs and pipes."""
    progress, shards = status.progress or Progress(), status.shards
    parts = [f"{name}: {status.phase or 'Unknown'}", progress.percent or "0%"]
    parts.append(f"{progress.documents}/{progress.documents_planned} documents")
    if shards is not None:
        parts.append(f"{shards.summary} shards")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:g} tok/s")
    if progress.eta:
        parts.append(f"ETA {progress.eta}")
    return ", ".join(parts)


def screen(name: str, status: RephraseJobStatus) -> RenderableType:
    """A job's state for a terminal."""
    progress = status.progress or Progress()
    phase = status.phase
    colour = _COLOURS.get(phase, "cyan") if phase else "dim"
    head = Text.assemble(
        (name, "bold"), "  ", (str(phase or "Unknown"), colour), "  ", (status.message or "", "dim")
    )
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=1.0, completed=progress.ratio, width=50), progress.percent or "0%")
    return Group(head, bar, _figures(status, progress), *_texts(status), *_troubles(status))


def _figures(status: RephraseJobStatus, progress: Progress) -> RenderableType:
    rate = "-" if progress.tokens_per_second is None else f"{progress.tokens_per_second:g}"
    columns = {
        "documents": f"{progress.documents}/{progress.documents_planned or '?'}",
        "texts": str(progress.samples_text),
        "errors": str(progress.samples_error),
        "output tokens": f"{progress.output_tokens:,}",
        "tok/s": rate,
        "ETA": progress.eta or "-",
        "workers": str(progress.workers),
    }
    if status.shards is not None:
        failed = status.shards.failed
        columns["shards"] = status.shards.summary + (f" ({failed} failed)" if failed else "")
    expected = status.engine.tokens_per_second_per_gpu if status.engine else None
    if progress.tokens_per_second_per_gpu is not None:
        of = f" of {expected} expected" if expected else ""
        columns["tok/s/GPU"] = f"{progress.tokens_per_second_per_gpu:g}{of}"
    columns |= _spending(status, progress)
    if status.engine is not None:
        columns["profile"] = status.engine.profile
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name)
    table.add_row(*columns.values())
    return table


def _texts(status: RephraseJobStatus) -> list[RenderableType]:
    """What the texts are like, a line a prompt."""
    if not status.quality:
        return []
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("prompt", "texts", "structure", "most frequent opening"):
        table.add_column(name)
    for prompt, texts in list(status.quality.items())[:_PROMPTS_SHOWN]:
        structure = "-" if texts.structure_rate is None else f"{texts.structure_rate:.0%}"
        opening = f"{texts.top_opening_share:.1%}  {texts.top_opening}" if texts.top_opening else "-"
        table.add_row(prompt, str(texts.samples), structure, Text(opening, overflow="ellipsis", no_wrap=True))
    return [table]


def _spending(status: RephraseJobStatus, progress: Progress) -> dict[str, str]:
    """What was spent, beside what was expected of the whole job."""
    found: dict[str, str] = {}
    estimate, spent = status.estimate, status.cost
    if estimate is not None:
        tokens = f"{progress.output_tokens:,} of {estimate.output_tokens.expected:,.0f} expected"
        found["output tokens"] = tokens
    if spent is not None:
        of = f" of {estimate.gpu_hours.expected:,.2f} expected" if estimate and estimate.gpu_hours else ""
        found["GPU-hours"] = f"{spent.gpu_hours:,.2f}{of}"
        if spent.cost is not None:
            of = f" of {estimate.cost.expected:,.2f} expected" if estimate and estimate.cost else ""
            found[f"cost ({spent.currency})"] = f"{spent.cost:,.2f}{of}"
    return found


def _troubles(status: RephraseJobStatus) -> list[RenderableType]:
    shown = sorted(status.failures, key=lambda failure: failure.time)[-_FAILURES_SHOWN:]
    return [
        Text(
            f"shard {failure.shard}, attempt {failure.attempts}: {failure.reason}: {failure.message}",
            style="yellow",
        )
        for failure in shown
        if status.phase != Phase.SUCCEEDED
    ]
