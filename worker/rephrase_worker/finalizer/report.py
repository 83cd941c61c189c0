"""The report: one HTML page with the card's figures and plots, without other files and without scripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rephrase_worker.finalizer import figures, speed, texts
from rephrase_worker.finalizer.findings import Findings
from rephrase_worker.manifests import Account
from rephrase_worker.pace import Pace
from rephrase_worker.plan import Plan
from rephrase_worker.quality.report import QualityReport
from rephrase_worker.spec import Recipe

_KINDS = {
    "text": "text",
    "empty": "empty text",
    "error": "error",
    "filtered": "left out",
    "missing": "missing",
}
"""What the colours of the bars mean."""

# Names, URIs, prompts and texts are the users' own: all of them are escaped.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def report(recipe: Recipe, plan: Plan, account: Account, findings: Findings = Findings()) -> str:  # noqa: B008
    """The page's HTML."""
    return _TEMPLATES.get_template("report.html").render(
        name=f"{recipe.job.namespace}/{recipe.job.name}",
        verdict=figures.verdict(account),
        missing_note=figures.missing_note(account),
        summary=figures.summary(account),
        bars=figures.bars(account),
        kinds=_KINDS,
        headings=figures.headings(account),
        table=figures.table(account),
        error_headings=figures.ERROR_HEADINGS,
        errors=figures.errors(account),
        speed=_speed(findings.pace, account) if findings.pace is not None else None,
        quality=_quality(findings.quality) if findings.quality is not None else None,
        examples={name: list(found) for name, found in findings.examples.items() if found},
        mix=figures.mix_facts(findings.mix) if findings.mix is not None else None,
        recipe_facts=figures.recipe_facts(recipe, plan),
        prompts=recipe.prompts,
    )


def _speed(pace: Pace, account: Account) -> dict[str, Any]:
    return {
        "facts": speed.facts(pace, figures.rows(account)),
        "pictures": _some([speed.throughput(pace), speed.running(pace), speed.speeds(pace)]),
        "worker_headings": speed.WORKER_HEADINGS,
        "workers": speed.workers(pace),
        "left_out": speed.left_out(pace),
        "node_headings": speed.NODE_HEADINGS,
        "nodes": speed.nodes(pace),
    }


def _quality(quality: QualityReport) -> dict[str, Any]:
    return {
        "note": texts.note(quality),
        "structure_headings": texts.STRUCTURE_HEADINGS,
        "structure": texts.structure(quality),
        "headings": texts.HEADINGS,
        "table": texts.table(quality),
        "pictures": [
            picture for name, prompt in quality.prompts.items() for picture in texts.lengths(name, prompt)
        ],
        "openings": {
            name: found for name, prompt in quality.prompts.items() if (found := texts.openings(prompt))
        },
    }


def _some(pictures: Iterable[speed.Picture | None]) -> list[speed.Picture]:
    return [picture for picture in pictures if picture is not None]
