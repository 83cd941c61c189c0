"""docs/troubleshooting.md explains every reason that a job can show, and every exit code."""

from __future__ import annotations

import re
from enum import StrEnum

from rephrase_operator.api.conditions import ConditionReason
from rephrase_worker.spec import EXIT_CODES, Reason
from tests.requirements import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
OF_KUBERNETES = {"Unschedulable", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"}


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def explained() -> list[str]:
    """The reasons that begin a row of a table, and those that are no trouble."""
    first_cells = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    return re.findall(r"`([A-Z]\w+)`", " ".join([*first_cells, section("Reasons that are no trouble")]))


def values(*enums: type[StrEnum]) -> set[str]:
    return {member.value for enum in enums for member in enum}


def test_every_reason_is_explained_once() -> None:
    reasons = explained()
    assert set(reasons) == values(ConditionReason, Reason) | OF_KUBERNETES
    assert sorted(reasons) == sorted(set(reasons))


def test_a_workers_reason_stands_with_its_exit_code() -> None:
    rows = dict(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (\d+)", section("What workers report"), re.MULTILINE))
    codes = {reason: int(code) for cell, code in rows.items() for reason in re.findall(r"\w+", cell)}
    expected = {reason.value: int(code) for reason, code in EXIT_CODES.items()}
    del expected[Reason.DATASET_INCOMPLETE.value]  # is a reason of the operator too, and explained there
    assert codes == expected
