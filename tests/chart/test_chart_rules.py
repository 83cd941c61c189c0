"""The rules: every one has cases that the real promtool runs, every alert a section in the runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.monitoring import chart
from tests.chart.helm import ROOT, Manifest, load, of_kind, refusal, render, the
from tests.docs.markdown import parse
from tests.programs import program
from tests.promql import exported, metrics_of

CASES = sorted((ROOT / "tests" / "chart" / "rules").glob("*.yaml"))
FILES = sorted(chart.RULES.parent.glob(chart.RULES.name))
RULES = [
    rule
    for path in FILES
    for document in load(path.read_text())
    for group in document["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in RULES if "record" in rule}
TESTS: list[dict[str, Any]] = [
    test for path in CASES for (file,) in [load(path.read_text())] for test in file["tests"]
]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; the caller looks at the exit status."""
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(**values: Any) -> list[dict[str, Any]]:
    """The rules of the PrometheusRule with these values."""
    rule = the(render({"metrics": {"prometheusRule": {"enabled": True, **values}}}), "PrometheusRule")
    return [rule for group in rule["spec"]["groups"] for rule in group["rules"]]


def alert(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """The alert of this name."""
    (found,) = (rule for rule in rules if rule.get("alert") == name)
    return found


def test_promtool_finds_nothing_wrong_with_the_files() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *FILES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_case_comes_out_as_it_says() -> None:
    done = promtool("test", "rules", *CASES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_case_in_which_it_fires_one_in_which_it_is_silent_and_its_words(name: str) -> None:
    asked = [
        one
        for test in TESTS
        for one in test["promql_expr_test"]
        if one["expr"] == f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    ]
    assert [one for one in asked if one["exp_samples"]]
    assert [one for one in asked if not one["exp_samples"]]
    told = [
        expected
        for test in TESTS
        for one in test.get("alert_rule_test", [])
        if one["alertname"] == name
        for expected in one["exp_alerts"]
    ]
    assert told
    assert all(
        expected["exp_annotations"].keys() == {"summary", "description", "runbook_url"} for expected in told
    )


def test_every_recording_rule_has_a_case() -> None:
    asked = {one["expr"] for test in TESTS for one in test["promql_expr_test"]}
    assert RECORDS.keys() <= asked


def test_rules_read_only_what_is_exported_or_recorded() -> None:
    known = exported() | RECORDS.keys() | {"up"}
    for rule in RULES:
        read = metrics_of(rule["expr"])
        assert read, rule
        assert read <= known, rule


def test_an_alert_says_where_and_how_grave_and_its_link_leads_into_the_runbook() -> None:
    runbook = ROOT / "docs" / "runbook.md"
    anchors = parse(runbook, runbook.read_text()).anchors
    for name, rule in ALERTS.items():
        assert name.startswith("Rephrase")
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (file, anchor) == ("docs/runbook.md", name.lower())
        assert anchor in anchors
        where = ["$labels.namespace"] + (["$labels.job"] if name.startswith("RephraseJob") else [])
        for words in (rule["annotations"]["summary"], rule["annotations"]["description"]):
            assert all(label in words for label in where), name


def test_an_alert_about_a_job_goes_on_while_the_operator_restarts() -> None:
    for name, rule in ALERTS.items():
        assert ("keep_firing_for" in rule) == name.startswith("RephraseJob"), name


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    sections = re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sections == list(ALERTS)


def test_rules_keep_the_clusters_apart() -> None:
    for rule in RULES:
        for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", rule["expr"]):
            assert labels.startswith("cluster, "), rule


def test_a_recording_rule_is_named_by_level_metric_and_operation() -> None:
    for name, rule in RECORDS.items():
        level, metric, operation = name.split(":")
        assert re.fullmatch(r"(namespace_job(_prompt|_currency)?|model)", level)
        assert re.fullmatch(r"rephrase_(job|worker)_[a-z_]+", metric)
        assert re.fullmatch(r"ratio|(ratio_)?(rate|increase|delta)\d+[mh]", operation)
        windows = set(re.findall(r"\[(\w+)\]", rule["expr"]))
        assert all(operation.endswith(window) for window in windows), name


def test_the_prometheus_rule_holds_the_files_as_they_are() -> None:
    assert not of_kind(render(), "PrometheusRule")
    assert rendered() == RULES


def test_a_single_alert_can_be_changed_or_switched_off() -> None:
    changes = {
        "RephraseJobSlow": {"threshold": 0.3, "for": "1h", "severity": "critical"},
        "RephraseJobStalled": {"enabled": False},
    }
    rules = rendered(alerts=changes)
    assert [rule for rule in rules if rule.get("alert") not in changes] == [
        rule for rule in RULES if rule.get("alert") not in changes
    ]
    assert "RephraseJobStalled" not in [rule.get("alert") for rule in rules]
    changed, original = alert("RephraseJobSlow", rules), ALERTS["RephraseJobSlow"]
    assert changed["expr"].split() == original["expr"].replace("0.5 # threshold", "0.3").split()
    assert (changed["for"], changed["labels"]) == ("1h", {"severity": "critical"})


def test_every_alert_can_be_switched_off() -> None:
    rules = rendered(alerts={name: {"enabled": False} for name in ALERTS})
    assert rules == [rule for rule in RULES if "record" in rule]


def test_the_links_lead_where_the_runbook_is_published() -> None:
    for rule in rendered(runbookUrl="https://docs.example/runbook/"):
        if "alert" in rule:
            link = rule["annotations"]["runbook_url"]
            assert link == f"https://docs.example/runbook/#{rule['alert'].lower()}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"RephraseJobSlw": {"enabled": False}}, "RephraseJobSlw"),
        ({"RephraseJobHeldByErrors": {"threshold": 1}}, "RephraseJobHeldByErrors has no threshold"),
        ({"RephraseJobSlow": {"treshold": 1}}, "treshold"),
        ({"RephraseJobSlow": {"for": "soon"}}, "for"),
    ],
)
def test_a_wrong_change_is_refused_by_its_name(changes: Manifest, named: str) -> None:
    assert named in refusal({"metrics": {"prometheusRule": {"enabled": True, "alerts": changes}}})
