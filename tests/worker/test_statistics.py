"""What planning measures of the documents: exact where it reads all of them, close where it samples."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from rephrase_worker.bookkeeping import read_statistics
from rephrase_worker.planner import plan
from rephrase_worker.source.sampling import PLACES
from rephrase_worker.spec import TERMINATION_LIMIT_BYTES, PlanReport, Statistics
from rephrase_worker.store import Store
from tests.worker.builders import jsonl, make_recipe, write_jsonl, write_parquet

FRAME = 3
"""Words that the prompts of these tests add: two around the conversation, and the instruction's."""


def documents(count: int, seed: int = 1) -> list[str]:
    """Texts of uneven length, in words."""
    rng = random.Random(seed)
    return ["word " * max(1, min(2000, int(rng.lognormvariate(4, 1)))) for _ in range(count)]


def planned(source: Path, output: Path, **recipe: object) -> tuple[PlanReport, Statistics]:
    made = make_recipe(source, output, **recipe)  # type: ignore[arg-type]
    report = plan(made)
    assert report.statistics is not None
    assert report.statistics == read_statistics(Store(str(output)))
    return report, report.statistics


def words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


def test_few_documents_are_all_read_and_the_sum_is_exact(tmp_path: Path) -> None:
    texts = documents(200)
    write_parquet(tmp_path / "in/a.parquet", texts[:120])
    write_jsonl(tmp_path / "in/b.jsonl", texts[120:])
    _, found = planned(tmp_path / "in", tmp_path / "out", prompts=("faq", "math"), rollouts=2)
    assert (found.unit, found.sampled, found.documents) == ("words", 200, 200)
    assert found.prompt_tokens == found.prompt_tokens_low == found.prompt_tokens_high
    trailing = 200  # the space that ends each text is a word of its own
    total = 2 * 2 * (words(texts) + FRAME * 200 + trailing)
    assert found.prompt_tokens * 200 == pytest.approx(total, rel=1e-4)
    assert found.truncated == 0
    assert found.output_tokens == 4 * 32


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "gzip"])
def test_a_sample_of_many_is_close_and_the_same_every_time(tmp_path: Path, kind: str) -> None:
    # The files differ: who reads the first documents only is far off.
    texts = ["short"] * 4000 + documents(8000)
    folder = tmp_path / "in"
    folder.mkdir()
    if kind == "parquet":
        write_parquet(folder / "a.parquet", texts[:5000], row_group_size=500)
        write_parquet(folder / "b.parquet", texts[5000:], row_group_size=500)
    elif kind == "jsonl":
        write_jsonl(folder / "a.jsonl", texts)
    else:
        (folder / "a.jsonl.gz").write_bytes(gzip.compress(jsonl(texts)))
    _, found = planned(folder, tmp_path / "out")
    mean = (words(texts) + 8000) / len(texts) + FRAME
    assert PLACES <= found.sampled <= 640
    assert found.prompt_tokens == pytest.approx(mean, rel=0.25)
    assert found.prompt_tokens_low < found.prompt_tokens < found.prompt_tokens_high
    _, again = planned(folder, tmp_path / "again")
    assert again == found


def test_documents_that_become_errors_count_as_nothing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", ["two words", "", None, "two words"])
    _, found = planned(tmp_path / "in.jsonl", tmp_path / "out")
    assert (found.sampled, found.unusable) == (4, 2)
    assert found.prompt_tokens == (2 + FRAME) / 2
    assert found.output_tokens == 32 / 2


def test_only_what_the_job_takes_is_sampled(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["one"] * 50 + ["a long text " * 100] * 50)
    _, found = planned(tmp_path / "a.parquet", tmp_path / "out", max_documents=50)
    assert found.documents == found.sampled == 50
    assert found.document_tokens == 1


def test_a_plan_without_statistics_gets_them(tmp_path: Path) -> None:
    """The planner was killed in between, or was of an older version."""
    write_jsonl(tmp_path / "in.jsonl", documents(20))
    report, _ = planned(tmp_path / "in.jsonl", tmp_path / "out")
    (tmp_path / "out/_rephrase/plan/statistics.json").unlink()
    again, _ = planned(tmp_path / "in.jsonl", tmp_path / "out")
    assert again == report


def test_the_report_fits_into_a_termination_message(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", documents(5000))
    report, found = planned(tmp_path / "a.parquet", tmp_path / "out", documents_per_shard=7)
    assert sum(group.shards for group in found.shards) == report.shards
    assert len(report.to_json().encode()) < TERMINATION_LIMIT_BYTES
