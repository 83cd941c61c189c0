"""The ConfigMap from which Grafana's sidecar takes the dashboards."""

from __future__ import annotations

import json

from dashboards import __main__ as generate
from tests.chart.helm import refusal, render

MAX_CONFIG_MAP_BYTES = 1 << 20


def test_the_chart_carries_the_dashboards() -> None:
    (found,) = [each for each in render() if each["kind"] == "ConfigMap"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Rephrase"}
    assert found["metadata"]["namespace"] == "rephrase"
    assert sorted(found["data"]) == sorted(path.name for path in generate.files())
    for name, text in found["data"].items():
        assert json.loads(text) == json.loads((generate.FOLDER / name).read_text())
    assert len(json.dumps(found)) < MAX_CONFIG_MAP_BYTES


def test_the_config_map_can_be_put_elsewhere_or_left_out() -> None:
    dashboards = {"namespace": "grafana", "labels": {"dash": "yes"}, "annotations": {"folder": "LLM"}}
    (found,) = [
        each for each in render({"metrics": {"dashboards": dashboards}}) if each["kind"] == "ConfigMap"
    ]
    assert found["metadata"]["namespace"] == "grafana"
    assert found["metadata"]["labels"]["dash"] == "yes"
    assert found["metadata"]["annotations"]["folder"] == "LLM"
    without = render({"metrics": {"dashboards": {"enabled": False}}})
    assert not [each for each in without if each["kind"] == "ConfigMap"]


def test_a_misspelt_value_is_refused() -> None:
    assert "label" in refusal({"metrics": {"dashboards": {"label": {}}}})
