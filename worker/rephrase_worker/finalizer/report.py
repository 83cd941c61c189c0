"""The report: one HTML page with the card's figures, that needs nothing else to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rephrase_worker.finalizer import figures
from rephrase_worker.manifests import Account
from rephrase_worker.plan import Plan
from rephrase_worker.spec import Recipe

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #8886; text-align: right; }
th:first-child, td:first-child, table.facts td { text-align: left; }
.bar { display: flex; height: .8rem; min-width: 12rem; background: #8883; }
.text { background: #2a7; } .error { background: #d33; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; } }
""".strip()


def report(recipe: Recipe, plan: Plan, account: Account) -> str:
    """The page's HTML."""
    name = escape(f"{recipe.job.namespace}/{recipe.job.name}")
    note = figures.missing_note(account)
    errors = figures.errors(account)
    body = [
        f"<h1>{name}</h1>",
        f"<p>{figures.number(account.documents)} documents in {figures.number(account.shards)} shards.</p>",
        f"<p>{escape(note)}</p>" if note else "",
        "<h2>Samples</h2>",
        _table(figures.HEADINGS, figures.table(account)),
        _bars(account),
        "<h2>Errors</h2>" + _table(("Prompt", "Code", "Samples"), errors) if errors else "",
        "<h2>Recipe</h2>",
        _table((), figures.recipe_facts(recipe, plan), css="facts"),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], css: str = "") -> str:
    head = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in headings)}</tr>" if headings else ""
    lines = (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="{css}">' + "\n".join([head, *lines]) + "</table>"


def _bars(account: Account) -> str:
    """What share of each prompt's planned samples is text (green), error (red) and missing (grey)."""
    rows = []
    for name, totals in account.prompts.items():
        planned = max(1, totals.planned)
        parts = "".join(
            f'<span class="{css}" style="width:{count / planned:.3%}" title="{css} {count}"></span>'
            for css, count in (("text", totals.text), ("error", totals.error))
        )
        rows.append(f'<tr><td>{escape(name)}</td><td><div class="bar">{parts}</div></td></tr>')
    return "<table><tr><th></th><th>text, error, missing</th></tr>" + "\n".join(rows) + "</table>"
