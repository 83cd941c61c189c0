"""The dataset card: README.md at the destination, as the Hugging Face Hub and `datasets` read it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
from huggingface_hub import DatasetCard, DatasetCardData

from rephrase_worker import layout
from rephrase_worker.finalizer import figures, speed, texts
from rephrase_worker.finalizer.features import features
from rephrase_worker.finalizer.findings import Findings
from rephrase_worker.manifests import Account
from rephrase_worker.mix.rows import SCHEMA as MIX_SCHEMA
from rephrase_worker.plan import Plan
from rephrase_worker.quality.report import QualityReport
from rephrase_worker.spec import MIX_FOLDER, Prompt, Recipe

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

_TO_FILL = """\
# To fill in before you publish: `license` (those of source and model may bind you), and `language` where it
# is missing or wrong.
"""

LANGUAGE_SHARE = 0.05
"""Of all texts: a language with a smaller share is not one of the dataset's."""

_HUB_DATASET = re.compile(r"hf://datasets/([^/@]+/[^/@]+)")


def card(recipe: Recipe, plan: Plan, account: Account, findings: Findings = Findings()) -> str:  # noqa: B008
    """The card's Markdown. Its front matter names one configuration a prompt, for `datasets.load_dataset`."""
    # `datasets` can load none of the configurations if one of them has no file.
    configurations = [name for name, totals in account.prompts.items() if totals.bytes]
    errors = figures.errors(account)
    made = DatasetCard.from_template(
        _metadata(recipe, account, configurations, findings),
        template_path=str(_TEMPLATE),
        title=_line(recipe.job.name),
        verdict=figures.verdict(account),
        documents=f"{figures.number(account.documents)} document{'' if account.documents == 1 else 's'}",
        model=_code(recipe.model.name),
        example=configurations[0] if configurations else None,
        recipe=_pairs(figures.recipe_facts(recipe, plan)),
        generation=_pairs(speed.facts(findings.pace, figures.rows(account))) if findings.pace else None,
        account=_table(figures.headings(account), figures.table(account)),
        left_out=any(totals.filtered for totals in account.prompts.values()),
        missing_note=figures.missing_note(account),
        errors=_table(figures.ERROR_HEADINGS, errors) if errors else None,
        quality=_table(texts.HEADINGS, texts.table(findings.quality)) if findings.quality else None,
        quality_note=texts.note(findings.quality) if findings.quality else None,
        mix=_pairs(figures.mix_facts(findings.mix)) if findings.mix else None,
        prompts=[_shown(prompt) for prompt in recipe.prompts],
    )
    # The library keeps no comments.
    return f"{made}\n".replace("---\n", f"---\n{_TO_FILL}", 1)


def _metadata(
    recipe: Recipe, account: Account, configurations: Sequence[str], findings: Findings
) -> DatasetCardData:
    """What the Hub filters by, and where `datasets` finds each configuration.

    A licence that nobody has chosen is `unknown`, which the Hub accepts and shows.
    """
    rows = figures.rows(account)
    source = _HUB_DATASET.match(recipe.source.uri)
    data_files = {name: layout.sample_glob(name) for name in configurations}
    infos = [] if findings.schema is None else list(_infos(account, configurations, findings.schema))
    if findings.mix is not None and findings.mix.rows:
        data_files[MIX_FOLDER] = layout.sample_glob(MIX_FOLDER)
        infos += [{"config_name": MIX_FOLDER, "features": features(MIX_SCHEMA)}] if infos else []
    return DatasetCardData(
        pretty_name=recipe.job.name,
        license="unknown",
        language=_languages(findings.quality) or None,
        task_categories=["text-generation"],
        tags=["synthetic", "rephrased", "rephrase-operator"],
        source_datasets=[source[1]] if source else None,
        size_categories=[next((name for below, name in _SIZES if rows < below), "n>1T")] if rows else None,
        dataset_info=infos or None,
        configs=[{"config_name": name, "data_files": files} for name, files in data_files.items()] or None,
    )


def _infos(account: Account, configurations: Sequence[str], schema: pa.Schema) -> Iterator[dict[str, Any]]:
    """Columns and sizes of each configuration."""
    for name in configurations:
        totals = account.prompts[name]
        # `datasets` refuses a configuration that has other rows than its sizes say, and files of shards that
        # have no manifest yet are in no count.
        counted = name not in account.unfinished_file_numbers
        sizes = _sizes(totals.text + totals.error, totals.bytes, totals.memory_bytes) if counted else {}
        columns = features(schema)
        yield {"config_name": name, **({"features": columns} if columns is not None else {}), **sizes}


def _sizes(rows: int, files: int, memory: int) -> dict[str, Any]:
    split = {"name": "train", "num_bytes": memory, "num_examples": rows}
    return {"splits": [split], "download_size": files, "dataset_size": memory}


def _languages(quality: QualityReport | None) -> list[str]:
    """Codes of the languages that enough texts are in; those that are only known by their script are none."""
    if quality is None:
        return []
    counts: dict[str, int] = {}
    for prompt in quality.prompts.values():
        for language, count in prompt.languages.items():
            counts[language] = counts.get(language, 0) + count
    total = sum(counts.values())
    return sorted(
        (name for name, count in counts.items() if len(name) == 2 and count >= LANGUAGE_SHARE * total),
        key=lambda name: (-counts[name], name),
    )


def _shown(prompt: Prompt) -> dict[str, str | None]:
    return {
        "name": prompt.name,
        "hash": _code(prompt.hash),
        "system": _fenced(prompt.system) if prompt.system is not None else None,
        "template": _fenced(prompt.template),
    }


def _pairs(facts: Sequence[tuple[str, str]]) -> str:
    return _table(("", ""), [(name, _code(value)) for name, value in facts])


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
