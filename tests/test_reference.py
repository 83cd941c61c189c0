"""docs/reference/ is what the code says, and leaves nothing out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from rephrase_operator.api import crd
from rephrase_operator.runtime import job_metrics
from rephrase_worker.profiles import GPUS
from rephrase_worker.profiles import profiles as library
from rephrase_worker.report import metrics as worker_metrics
from rephrase_worker.spec import ExitCode, Reason
from scripts.reference import commands, metrics, profiles, rephrasejob
from scripts.reference.__main__ import FOLDER, pages


def schema() -> dict[str, Any]:
    found: dict[str, Any] = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        yield path, name, child
        yield from fields(child, f"{path}.{name}")
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")


def every_field() -> list[tuple[str, str, dict[str, Any]]]:
    root = schema()["properties"]
    return [*fields(root["spec"], "spec"), *fields(root["status"], "status")]


def section(page: str, heading: str) -> str:
    _, found, rest = page.partition(f"\n## {heading}\n")
    assert found, heading
    return rest.partition("\n## ")[0]


def rules(node: Any) -> Iterator[dict[str, str]]:
    if isinstance(node, dict):
        yield from node.get("x-kubernetes-validations", ())
        for child in node.values():
            yield from rules(child)


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_a_page_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == pages()[path], "run `make generate`"


def test_no_page_is_left_over() -> None:
    assert set(FOLDER.iterdir()) == {path for path in pages() if path.parent == FOLDER}


def test_every_field_is_a_row_of_its_objects_section() -> None:
    page = rephrasejob.page()
    for path, name, node in every_field():
        (row,) = [line for line in section(page, path).splitlines() if line.startswith(f"| `{name}` |")]
        assert " ".join(node["description"].replace("|", "\\|").split()) in row


def test_a_default_a_limit_and_an_enum_are_in_the_row() -> None:
    page = rephrasejob.page()
    (row,) = [line for line in page.splitlines() if line.startswith("| `topP` |")]
    assert row.startswith("| `topP` | number | `1.0` | above 0.0, at most 1.0 |")
    row, *_ = [line for line in page.splitlines() if line.startswith("| `format` |")]
    assert row.startswith('| `format` | string | `"auto"` | `auto`, `parquet`, `jsonl` |')


def test_every_rule_is_shown_with_its_message() -> None:
    lines = rephrasejob.page().splitlines()
    for rule in rules(schema()):
        assert any(rule["message"] in line and rule["rule"] in line for line in lines), rule


def test_the_recipe_is_marked_as_immutable() -> None:
    page = rephrasejob.page()
    assert rephrasejob.RECIPE in section(page, "spec.sampling")
    assert rephrasejob.RECIPE in section(page, "spec.prompts[]")
    assert rephrasejob.RECIPE not in section(page, "spec.engine")


def test_links_lead_to_sections() -> None:
    page = rephrasejob.page()
    anchors = {rephrasejob.anchor(line[3:]) for line in page.splitlines() if line.startswith("## ")}
    targets = {part.partition(")")[0] for part in page.split("](#")[1:]}
    assert targets <= anchors


def test_a_new_metric_of_the_worker_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    new = replace(worker_metrics.WORKER_METRICS[0], name="rephrase_worker_new", help="A new one.")
    monkeypatch.setattr(worker_metrics, "WORKER_METRICS", (*worker_metrics.WORKER_METRICS, new))
    assert "| `rephrase_worker_new_total` | counter | documents |  | 1 | A new one. |" in metrics.page()


def test_a_new_metric_of_a_job_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    new = replace(job_metrics.JOB_METRICS[0], name="rephrase_job_new", help="A new one.")
    monkeypatch.setattr(job_metrics, "JOB_METRICS", (*job_metrics.JOB_METRICS, new))
    (row,) = [line for line in metrics.page().splitlines() if line.startswith("| `rephrase_job_new` |")]
    assert row.endswith("| A new one. |")


def test_the_operators_own_metrics_are_on_the_page() -> None:
    own = section(metrics.page(), "Operator: its own work")
    assert "| `rephrase_operator_reconcile_duration_seconds` | histogram | seconds |" in own
    assert "| `rephrase_operator_reconcile_errors_total` | counter |" in own


def test_every_profile_variant_and_gpu_is_on_the_page() -> None:
    page = profiles.page()
    for profile in library().values():
        (figures, settings) = [line for line in page.splitlines() if line.startswith(f"| `{profile.name}` |")]
        assert profile.models[0] in figures
        for on in profile.gpus.values():
            for variant in (on.baseline, on.fastest, on.production):
                assert f"{variant.tokens_per_second_per_gpu:,}" in figures
        assert "maxNumSeqs" in settings
    assert all(f"| `{gpu}` |" in page for gpu in GPUS)


def test_every_exit_code_reason_and_flag_is_on_the_page() -> None:
    page = commands.page()
    assert all(f"| {code.value} | {code.name} |" in page for code in ExitCode)
    assert all(f"| `{reason.value}` |" in page for reason in Reason)
    assert "--worker-image" in page


def test_a_member_without_a_docstring_is_named() -> None:
    class Colour(StrEnum):
        RED = "red"
        """Like a rose."""
        BLUE = "blue"

    with pytest.raises(ValueError, match=r"Colour .* BLUE"):
        commands.member_docs(Colour)
