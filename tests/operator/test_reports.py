"""What a worker of another version says, and what is no report at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rephrase_operator.observed.views import read_failure, read_report
from rephrase_worker.spec import PlanReport, Reason, ShardReport

REPORT: dict[str, Any] = {"kind": "shard", "shard": 7, "samplesText": 3}


def test_fields_of_a_newer_worker_are_passed_over() -> None:
    newer = REPORT | {"kvCacheHits": 5, "failure": {"reason": "EngineFailed", "message": "x", "hint": "y"}}
    report = read_report(ShardReport, json.dumps(newer))
    assert (report.shard, report.samples_text, report.failure.message) == (7, 3, "x")


def test_a_reason_of_a_newer_worker_is_kept_in_the_message() -> None:
    newer = REPORT | {"failure": {"reason": "DiskOnFire", "message": "Rack 3."}}
    failure = read_failure(json.dumps(newer))
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.INTERNAL, "DiskOnFire: Rack 3.")


def test_the_plan_of_a_worker_that_names_no_version_is_of_the_first_one() -> None:
    assert read_report(PlanReport, '{"kind": "plan", "shards": 3}').contract_version == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        "{]",
        '{"kind": "shard"}',
        '{"kind": "plan", "shard": 7}',
        json.dumps(REPORT | {"state": "dreaming"}),
        json.dumps(REPORT | {"shard": "seven", "failure": {"reason": "New", "message": "x"}}),
        json.dumps(REPORT | {"failure": {"reason": ["New"], "message": ["x"]}}),
        json.dumps(REPORT | {"failure": {"reason": 5, "message": None}}),
        "\x00" * 10,
        "[" * 100_000,
    ],
)
def test_anything_but_a_report_is_read_as_none(text: str) -> None:
    assert read_report(ShardReport, text) is None
