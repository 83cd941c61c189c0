"""What the demo prints at its end; `make demo` itself runs real vLLM for minutes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rephrase_worker.manifests import PromptTotals
from rephrase_worker.quality.measure import Measure, Measured
from rephrase_worker.quality.report import report as quality_report
from rephrase_worker.spec import Prompt
from scripts.demo import output
from tests.worker.builders import make_recipe


def sample(name: str, text: str | None, *, finish_reason: str = "stop") -> dict[str, Any]:
    return {
        "id": name,
        "source_file": "a.parquet",
        "source_position": len(name),
        "text": text,
        "finish_reason": finish_reason if text is not None else None,
        "output_tokens": len((text or "").split()),
    }


def shown(monkeypatch: pytest.MonkeyPatch, width: int) -> Console:
    console = Console(width=width, record=True, highlight=False)
    monkeypatch.setattr(output, "console", console)
    return console


@pytest.mark.parametrize("width", [80, 120])
def test_a_sample_is_shown_whole_beside_its_document(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    console = shown(monkeypatch, width)
    words = [f"word{number}" for number in range(300)]
    row = sample("tides", " ".join(words))
    output.show_samples({"faq": [row]}, {("a.parquet", 5): "[bold]The document.[/]"})
    text = console.export_text()
    assert all(word in text for word in words)
    assert "[bold]The document.[/]" in text
    assert "faq: 300 tokens, complete" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_complete_sample_of_another_document_is_preferred() -> None:
    cut, complete = sample("a", "cut off", finish_reason="length"), sample("b", "all of it")
    assert output.typical([cut, complete], set()) == complete
    other = sample("c", "and more of it")
    assert output.typical([complete, other], {"b"}) == other
    assert output.typical([cut], set()) == cut
    assert output.typical([sample("d", None), sample("e", "  ")], set()) is None


def test_what_the_texts_are_like_fits_on_80_columns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    console = shown(monkeypatch, 80)
    prompt = Prompt(name="guided-rewrite-improved", template="{{document}}", structure="table-and-question")
    recipe = make_recipe("in", "out").model_copy(update={"prompts": [prompt]})
    texts = [Measured("[bold]This is the very same opening of every text. And more.", 1, 1)] * 8
    counts = {prompt.name: Measure(prompt)(texts)}
    (tmp_path / "_rephrase").mkdir()
    written = quality_report(recipe, counts, shards=1, uncounted_shards=0).to_json()
    (tmp_path / "_rephrase" / "quality.json").write_text(written)
    output.show_texts(tmp_path)
    text = console.export_text()
    (row,) = [line.split() for line in text.splitlines() if line.split()[:1] == [prompt.name]]
    assert row[:4] == [prompt.name, "table-and-question", "0%", "[bold]This"]
    assert row[-3:] == ["8", "of", "8"]


def test_the_estimate_stands_beside_what_the_job_took(monkeypatch: pytest.MonkeyPatch) -> None:
    console = shown(monkeypatch, 80)
    tokens = {"low": 900.4, "expected": 1000, "high": 1200}
    estimate = {"documents": tokens, "promptTokens": tokens, "outputTokens": tokens}
    output.show_estimate({"estimate": estimate, "progress": {"outputTokens": 1100}})
    (row,) = [line.split() for line in console.export_text().splitlines() if "output" in line]
    assert row == ["output", "tokens", "900", "1,000", "1,200", "1,100"]


def test_the_account_fits_on_80_columns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    console = shown(monkeypatch, 80)
    totals = PromptTotals(
        planned=8,
        text=8,
        empty=1,
        prompt_tokens=2000,
        cached_prompt_tokens=1700,
        output_tokens=1_513,
        finish_reasons={"stop": 6, "length": 2},
    )
    account = {"documents": 8, "shards": 2, "prompts": {"summary": json.loads(totals.to_json())}}
    (tmp_path / "_rephrase").mkdir()
    (tmp_path / "_rephrase" / "account.json").write_text(json.dumps(account))
    output.show_totals(tmp_path)
    text = console.export_text()
    (row,) = [line.split() for line in text.splitlines() if line.split()[:1] == ["summary"]]
    assert row == ["summary", "8", "8", "0", "0", "1", "75%", "85%", "1,513"]
    assert "…" not in text
