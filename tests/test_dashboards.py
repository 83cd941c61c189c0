"""The Grafana dashboards: valid, laid out, and asking only for what exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import __main__ as generate
from dashboards.reading import filled, names, panels, queries
from rephrase_operator.api import crd
from scripts.reference import commands as commands_reference
from tests.programs import program
from tests.promql import exported, metrics_of

FILES = [path.name for path in generate.files()]
GRID = 24
BUILT_IN = {"__rate_interval": "1m"}
"""Variables that Grafana brings."""
LINK_BUILT_IN = {"__data", "__url_time_range"}


@pytest.fixture(params=FILES)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((generate.FOLDER / request.param).read_text())
    return read


def variables(dashboard: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in dashboard["templating"]["list"]}


def test_the_files_are_what_the_code_says() -> None:
    assert generate.stale() == [], "run `make generate`"


def test_a_file_that_differs_or_is_left_over_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    wanted = generate.files()
    for path, text in wanted.items():
        path.write_text(text)
    assert generate.stale() == []
    changed, *_ = wanted
    changed.write_text("{}")
    (tmp_path / "old.json").write_text("{}")
    assert generate.stale() == sorted([changed.name, "old.json"])


def test_the_sdk_knows_every_key(dashboard: dict[str, Any]) -> None:
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert again == dashboard


def test_it_can_be_installed_anywhere(dashboard: dict[str, Any]) -> None:
    assert re.fullmatch(r"rephrase-(fleet|job)", dashboard["uid"])
    assert "id" not in dashboard
    text = json.dumps(dashboard)
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {dashboard["uid"], "${datasource}"}


def test_no_panel_overlaps_another_and_all_are_in_the_grid(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= GRID, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    height = max(y for _, y in taken) + 1
    rows = sum(1 for panel in dashboard["panels"] if panel["type"] == "row")
    assert len(taken) == GRID * height, "there is a hole in the layout"
    assert rows >= 3


def test_every_panel_says_what_it_shows_and_what_to_do(dashboard: dict[str, Any]) -> None:
    shown = list(panels(dashboard))
    assert len({panel["title"] for panel in shown}) == len(shown)
    for panel in shown:
        assert len(panel["description"].split()) > 8, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


SETTING = re.compile(r"\b(?:spec\.)?((?:engine|worker|cost|quality|failurePolicy)\.[A-Za-z.]*[A-Za-z])")


def test_descriptions_name_settings_and_commands_that_exist(dashboard: dict[str, Any]) -> None:
    spec = crd.build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    commands = commands_reference.page()
    for panel in panels(dashboard):
        for setting in SETTING.findall(panel["description"]):
            node = spec
            for name in setting.split("."):
                assert name in node.get("properties", {}), (panel["title"], setting)
                node = node["properties"][name]
        for command in re.findall(r"`rephrase (\w+)", panel["description"]):
            assert f"rephrase {command}" in commands, panel["title"]
        for page in re.findall(r"\bdocs/[\w/.-]+\.md", panel["description"]):
            assert (generate.FOLDER.parents[2] / page).exists(), panel["title"]


def test_every_variable_exists_and_is_used(dashboard: dict[str, Any]) -> None:
    known = variables(dashboard).keys()
    assert list(known) in (["datasource", "namespace", "model", "job"],)
    used: set[str] = set()
    for query in queries(dashboard):
        used |= names(query.expression)
        assert names(query.expression) <= known | BUILT_IN.keys(), query
    for position, each in enumerate(dashboard["templating"]["list"][1:], start=1):
        asked = names(each["query"]["query"])
        assert asked <= set(list(known)[:position]), "a variable may only use those before it"
        used |= asked | names(each["datasource"]["uid"])
    assert known <= used
    links = re.findall(r'"url": "([^"]*)"', json.dumps(dashboard))
    assert links
    assert all(names(link) <= known | LINK_BUILT_IN for link in links)


def test_links_lead_to_the_other_dashboard(dashboard: dict[str, Any]) -> None:
    (other,) = {"rephrase-fleet", "rephrase-job"} - {dashboard["uid"]}
    links = re.findall(r'"url": "/d/([\w-]*)\?([^"]*)"', json.dumps(dashboard))
    target = json.loads((generate.FOLDER / f"{other}.json").read_text())
    assert {uid for uid, _ in links} == {other}
    for _, asked in links:
        assert set(re.findall(r"var-(\w+)=", asked)) <= variables(target).keys()


def test_every_metric_is_exported_or_kept(dashboard: dict[str, Any]) -> None:
    known = exported() | {"ALERTS"}
    for query in queries(dashboard):
        asked = metrics_of(query.expression)
        assert asked, query
        # tests/chart/test_chart_monitors.py holds vLLM's to what Prometheus keeps.
        assert {name for name in asked if not name.startswith("vllm:")} <= known, query
    for each in dashboard["templating"]["list"][1:]:
        (metric,) = re.findall(r"label_values\((\w+)", each["query"]["query"])
        assert metric in known


def test_metrics_are_found_in_an_expression() -> None:
    text = 'sum by (a) (rate(x_total{b=~"y z", c="}"}[5m])) / on (d) group_left (e) vllm:f > 0 and g_count'
    assert metrics_of(text) == {"x_total", "vllm:f", "g_count"}


def test_prometheus_can_read_every_query(dashboard: dict[str, Any], tmp_path: Path) -> None:
    values = BUILT_IN | {"namespace": "n", "job": "j", "model": "m"}
    rules = [
        {"record": f"query:{number}", "expr": filled(query.expression, values)}
        for number, query in enumerate(queries(dashboard))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_workers_are_shown_by_quantiles_or_a_few_names(dashboard: dict[str, Any]) -> None:
    for query in queries(dashboard):
        by_worker = re.search(r"\bby \([^)]*\bpod\b", query.expression)
        assert not by_worker or re.search(r"\b(quantile|bottomk|topk)\(", query.expression), query
        of_workers = re.search(r"\b(rephrase_worker|vllm:)", query.expression)
        assert not of_workers or re.search(r"\b(sum|avg|max|quantile|bottomk)\b", query.expression), query
