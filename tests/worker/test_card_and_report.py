"""What people read: dataset card, report, and the figures in both."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from rephrase_worker.finalizer import figures
from rephrase_worker.finalizer.card import card
from rephrase_worker.finalizer.examples import Example
from rephrase_worker.finalizer.findings import Findings
from rephrase_worker.finalizer.report import report
from rephrase_worker.manifests import Account, PromptTotals
from rephrase_worker.mixes import MixAccount, OriginalMix
from rephrase_worker.pace import Pace, PaceSums
from rephrase_worker.plan import Plan
from rephrase_worker.quality.measure import Measure, Measured
from rephrase_worker.quality.report import QualityReport
from rephrase_worker.quality.report import report as quality_report
from rephrase_worker.samples import SCHEMA
from rephrase_worker.spec import Model, Recipe
from rephrase_worker.timeline import CommitNote, Worker, timeline
from tests.worker.builders import make_recipe

PLAN = Plan(recipe_hash="hash", shards=4, documents=40, documents_exact=True, files=1, bytes=1)


def totals(*, text: int = 0, empty: int = 0, error: int = 0, missing: int = 0) -> PromptTotals:
    return PromptTotals(
        planned=text + error + missing,
        text=text,
        empty=empty,
        error=error,
        missing=missing,
        errors={"engine_error": error} if error else {},
        output_tokens=7 * text,
        bytes=100 * (text + error),
    )


def account(*, missing_shards: str = "", exact: bool = True, **prompts: PromptTotals) -> Account:
    return Account(
        recipe_hash="hash",
        shards=4,
        missing_shards=len(missing_shards.split(",")) if missing_shards else 0,
        missing_shard_numbers=missing_shards,
        documents=40,
        documents_exact=exact,
        unfinished_files=0,
        unfinished_file_numbers={},
        prompts=prompts,
    )


VERDICTS: list[tuple[Account, bool, str]] = [
    (account(faq=totals(text=40)), True, "Complete: every one of 40 planned samples is there."),
    (account(faq=totals(text=1)), True, "Complete: every one of 1 planned sample is there."),
    (
        account(faq=totals(text=30, error=10), math=totals(text=40)),
        True,
        (
            "Complete: every one of 80 planned samples is there, "
            "10 of them (12.5%) with an error instead of a text."
        ),
    ),
    (
        account(faq=totals(text=56, empty=3)),
        True,
        "Complete: every one of 56 planned samples is there, 3 (5.4%) with an empty text.",
    ),
    (
        account(faq=totals(text=30_000, error=10, empty=2)),
        True,
        (
            "Complete: every one of 30,010 planned samples is there, 10 of them (<0.1%) with an error "
            "instead of a text and 2 (<0.1%) with an empty text."
        ),
    ),
    (
        account(faq=totals(text=30, missing=10), missing_shards="3"),
        False,
        "Incomplete: 10 of 40 planned samples (25.0%) are missing, because 1 of 4 shards did not finish.",
    ),
    (
        account(faq=totals(missing=4_000), missing_shards="0,1,2,3", exact=False),
        False,
        (
            "Incomplete: about 4,000 of about 4,000 planned samples (100.0%) are missing, because 4 of 4 "
            "shards did not finish."
        ),
    ),
    (
        account(faq=totals(text=40), missing_shards="1"),
        False,
        "Incomplete: 0 of 40 planned samples (0.0%) are missing, because 1 of 4 shards did not finish.",
    ),
]


@pytest.mark.parametrize(("of", "complete", "sentence"), VERDICTS)
def test_card_and_report_begin_with_the_verdict(of: Account, complete: bool, sentence: str) -> None:
    assert figures.verdict(of) == figures.Verdict(complete, sentence)
    recipe = make_recipe("/in", "/out", prompts=list(of.prompts))
    assert f"# job\n\n{sentence}\n" in card(recipe, PLAN, of)
    page = Page(report(recipe, PLAN, of))
    assert page.texts[2:4] == ["team/job", sentence]
    assert ("verdict complete" in page.classes) == complete


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.classes: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.roles: list[str | None] = []
        self.labels: list[str | None] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.roles += [value for name, value in attrs if name == "role"]
        self.labels += [value for name, value in attrs if name == "aria-label"]
        self.classes += [value or "" for name, value in attrs if name == "class"]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def test_the_report_shows_every_figure_of_every_prompt() -> None:
    names = [f"prompt-{number}" for number in range(18)]
    of = account(
        missing_shards="0",
        **{name: totals(text=100 + n, empty=n, error=n, missing=7) for n, name in enumerate(names)},
    )
    page = Page(report(make_recipe("/in", "/out", prompts=names), PLAN, of))
    for row in figures.table(of):
        assert set(row) <= set(page.texts)
    assert page.classes.count("missing") == 2 * 18, "a part of each bar, and its number"
    assert page.classes.count("empty") == 2 * 17
    assert page.classes.count("error") == 3 * 17, "and a bar in the table of errors"
    assert page.texts.count("engine_error") == 17
    assert page.tags.count("details") == 18


def test_a_report_without_errors_has_no_table_of_them() -> None:
    page = Page(report(make_recipe("/in", "/out"), PLAN, account(faq=totals(text=40))))
    assert "Errors" in page.texts, "the figure"
    assert "Code" not in page.texts


HOSTILE = [
    "<script>alert(1)</script>",
    "</pre></details><img src=x onerror=alert(1)>",
    '"><b onclick="x()">',
    "{{ 7 * 7 }} {% raw %} {# no #}",
    "a|b `c` ``d`` ```e``` ~~~ # * _ [x](javascript:alert(1))",
    "one\r\ntwo\nthree\rfour\u2028five",
    "---\nconfigs: []\n---",
    "&lt;script&gt; &amp; \\",
    "\u202eright to left\u0000\u001b[31m",
]


def hostile_recipe(text: str) -> Recipe:
    recipe = make_recipe(f"/in/{text}", "/out", prompts=("faq", "math"))
    return recipe.model_copy(
        update={
            "job": recipe.job.model_copy(update={"name": text}),
            "model": Model(name=text),
            "prompts": [each.model_copy(update={"template": text}) for each in recipe.prompts],
        }
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_in_the_report_and_change_nothing(text: str) -> None:
    of = account(faq=totals(text=40), math=totals(text=40))
    plain, page = (Page(report(hostile_recipe(each), PLAN, of)) for each in ("harmless", text))
    assert page.tags == plain.tags
    assert page.attributes == plain.attributes
    assert any(text.split()[0] in shown for shown in page.texts)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_do_not_change_the_structure_of_the_card(text: str) -> None:
    of = account(faq=totals(text=40), math=totals(text=40))
    content = card(hostile_recipe(text), PLAN, of)
    read = DatasetCard(content)
    assert [each["config_name"] for each in read.data.get("configs")] == ["faq", "math"]
    assert read.data.get("pretty_name") == text
    assert "\r" not in content
    body = read.text.split("## Recipe")
    assert len(body) == 2
    assert "<script>" not in body[0].replace("`", " ` ").split("`")[0]
    # Between its fences a prompt is shown as it is.
    lines = content.split("\n")
    opening = next(line for line in lines if line.endswith("`text"))
    fence = opening.removesuffix("text")
    start = lines.index(opening)
    end = lines.index(fence, start + 1)
    assert lines[start + 1 : end] == text.splitlines()


def test_the_card_is_one_that_the_hub_reads() -> None:
    recipe = make_recipe("/in", "/out", prompts=("faq", "null", "1e3", "yes"))
    of = account(**dict.fromkeys(("faq", "null", "1e3", "yes"), totals(text=40)))
    content = card(recipe, PLAN, of)
    metadata: dict[str, Any] = yaml.safe_load(content.split("---\n")[1])
    assert metadata == {
        "size_categories": ["n<1K"],
        "pretty_name": "job",
        "license": "unknown",
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "rephrased", "rephrase-operator"],
        "configs": [
            {"config_name": name, "data_files": f"{name}/*.parquet"} for name in ("faq", "null", "1e3", "yes")
        ],
    }
    assert 'load_dataset("<this folder>", "faq", split="train")' in content
    assert "# To fill in before you publish: `license`" in content


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (999_999, "100K<n<1M"),
        (6_102_000_000, "1B<n<10B"),
        (2 * 10**12, "n>1T"),
    ],
)
def test_the_size_is_one_of_the_hubs_categories(rows: int, category: str) -> None:
    read = DatasetCard(card(make_recipe("/in", "/out"), PLAN, account(faq=totals(text=rows))))
    assert read.data.get("size_categories") == [category]


def test_nothing_finished_is_a_card_without_configurations() -> None:
    of = account(faq=totals(missing=40), missing_shards="0,1,2,3")
    content = card(make_recipe("/in", "/out"), PLAN, of)
    metadata = DatasetCard(content).data.to_dict()
    assert "configs" not in metadata
    assert "size_categories" not in metadata
    assert "load_dataset(" not in content


def example(text: str, **change: Any) -> Example:
    figures_ = {"id": "id", "source_file": "a.parquet", "source_position": 7, "left_out": 0}
    return Example(text=text, **(figures_ | {"output_tokens": 5, "finish_reason": "stop"} | change))


def pace_of(shards: int, *, workers: str = "pod-{}", node: str = "node-{}") -> Pace | None:
    sums = PaceSums()
    for shard in range(shards):
        worker = Worker(name=workers.format(shard), node=node.format(shard % 90), gpus=1)
        sums.add(
            timeline(
                CommitNote(
                    worker=worker,
                    at=1_800_000_000_000 + (shard // 100) * 3_600_000 + minute * 60_000,
                    engine=60_000,
                    samples=10,
                    tokens=500_000 + shard,
                )
                for minute in range(60)
            )
        )
    return sums.pace()


def quality_of(recipe: Recipe, texts: Sequence[str], *, structure: str | None = None) -> QualityReport:
    prompts = [prompt.model_copy(update={"structure": structure}) for prompt in recipe.prompts]
    recipe = recipe.model_copy(update={"prompts": prompts})
    counts = {
        prompt.name: Measure(prompt)(
            [Measured(text=text, prompt_tokens=9, output_tokens=5) for text in texts]
        )
        for prompt in recipe.prompts
    }
    return quality_report(recipe, counts, shards=1, uncounted_shards=2)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_and_names_of_findings_change_nothing(text: str) -> None:
    recipe, of = make_recipe("/in", "/out"), account(faq=totals(text=40))

    def braced(content: str) -> str:
        return content.replace("{", "{{").replace("}", "}}")

    def shown(content: str) -> str:
        findings = Findings(
            pace=pace_of(3, workers=braced(content) + "{}", node=braced(content)),
            quality=quality_of(recipe, [content] * 3),
            examples={"faq": [example(content, id=content, source_file=content)]},
        )
        return report(recipe, PLAN, of, findings)

    plain, page = Page(shown("harmless")), Page(shown(text))
    assert page.tags == plain.tags
    assert page.attributes == plain.attributes


def test_the_report_draws_speed_lengths_and_openings_with_their_words() -> None:
    recipe = make_recipe("/in", "/out", prompts=("faq", "math"))
    of = account(faq=totals(text=40), math=totals(text=40))
    findings = Findings(
        pace=pace_of(3),
        quality=quality_of(
            recipe, ["Here is the answer. It is 4."] * 3 + ["Q: Why?\nA: Tides."], structure="qa-pairs"
        ),
        examples={"faq": [example("A whole answer."), example("A long one", left_out=1234)], "math": []},
    )
    html = report(recipe, PLAN, of, findings)
    page = Page(html)
    assert page.tags.count("svg") == 2 + 4, "throughput and engines; two lengths a prompt"
    assert page.roles.count("img") == page.tags.count("svg") == page.tags.count("figcaption")
    for words in ("Output tokens per second", "Engines running", "faq: output tokens", "math: input tokens"):
        assert words in page.labels
        assert words in page.texts
    assert "Here is the answer." in page.texts
    assert "Texts that have it" in page.texts
    assert "qa-pairs" in page.texts
    assert "A whole answer." in page.texts
    assert any("1,234 more characters" in text for text in page.texts)
    assert any("2 of 3 finished shards were made by a version" in text for text in page.texts)
    assert "script" not in page.tags
    assert "http" not in html, "nothing is fetched"


def test_a_report_over_a_million_samples_is_small() -> None:
    names = [f"prompt-{number}" for number in range(18)]
    recipe = make_recipe("/in", "/out", prompts=names)
    of = account(**{name: totals(text=10**9, error=10**6) for name in names})
    findings = Findings(
        pace=pace_of(1500),
        quality=quality_of(recipe, [f"Opening number {number}." for number in range(100)]),
        examples={name: [example("x" * 2000)] * 3 for name in names},
    )
    html = report(recipe, PLAN, of, findings)
    assert len(html) < 600_000
    assert "1,500 workers" in html


def test_a_report_over_no_sample_says_so() -> None:
    of = account(faq=PromptTotals(planned=0))
    recipe = make_recipe("/in", "/out")
    findings = Findings(quality=quality_of(recipe, []), examples={"faq": []})
    page = Page(report(recipe, PLAN, of, findings))
    assert "Complete: every one of 0 planned samples is there." in page.texts
    assert "Speed and cost" not in page.texts
    assert "Examples" not in page.texts
    assert "svg" not in page.tags


def test_the_card_names_columns_and_sizes_of_what_is_counted() -> None:
    recipe = make_recipe("hf://datasets/owner/name/data", "/out", prompts=("faq", "math"))
    of = account(faq=totals(text=30, error=3), math=totals(text=33))
    of = of.model_copy(update={"unfinished_files": 1, "unfinished_file_numbers": {"math": "3"}})
    quality = quality_of(recipe, ["The cat and the dog were in the house of the man."] * 9)
    data = DatasetCard(card(recipe, PLAN, of, Findings(schema=SCHEMA, quality=quality, mix=MIX))).data
    faq, math, mix = data.get("dataset_info")
    assert [column["name"] for column in faq["features"]] == SCHEMA.names
    assert faq["splits"] == [{"name": "train", "num_bytes": 0, "num_examples": 33}]
    assert faq["download_size"] == 3300
    assert "splits" not in math, "files of an unfinished shard would be loaded too"
    assert mix["config_name"] == "mix"
    assert data.get("configs")[2] == {"config_name": "mix", "data_files": "mix/*.parquet"}
    assert data.get("source_datasets") == ["owner/name"]
    assert data.get("language") == ["en"]


MIX = MixAccount(
    order_hash="hash",
    seed=0,
    shards=1,
    bytes=1,
    rows=10,
    tokens=100,
    share_asked=0.6,
    share_reached=0.59,
    most_repetitions=1,
    short="",
    prompts={},
    original=OriginalMix(documents=1, documents_exact=True),
)


def test_both_are_the_same_bytes_every_time() -> None:
    recipe = make_recipe("/in", "/out", prompts=("faq", "math"))
    of = account(faq=totals(text=30, error=3), math=totals(text=33, empty=3))
    assert len({card(recipe, PLAN, of) for _ in range(3)}) == 1
    assert len({report(recipe, PLAN, of) for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 0, "-"), (0, 9, "0.0%"), (1, 10_000, "<0.1%"), (9_999, 10_000, "99.9%"), (5, 5, "100.0%")],
)
def test_a_share_never_reads_as_nothing_or_all_when_it_is_not(part: int, whole: int, shown: str) -> None:
    assert figures.share(part, whole) == shown
