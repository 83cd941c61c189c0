"""The Prometheus of the demo: a real one starts with the chart's rules, or says why it does not."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from scripts.monitoring import chart, process, stack
from tests.chart.test_chart_rules import RULES
from tests.programs import program


@pytest.fixture(autouse=True)
def _prometheus() -> None:
    program("prometheus")


def api(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]


def test_it_starts_with_the_rules_and_is_gone_afterwards(tmp_path: Path) -> None:
    prometheus = stack.start_prometheus(tmp_path, {"rule_files": [str(chart.RULES)]})
    try:
        groups = api(f"{prometheus.url}/api/v1/rules")["groups"]
        assert [rule["name"] for group in groups for rule in group["rules"]] == [
            rule.get("alert") or rule["record"] for rule in RULES
        ]
    finally:
        prometheus.stop()
    assert prometheus.process.poll() is not None
    with pytest.raises(OSError, match="refused"):
        api(f"{prometheus.url}/api/v1/rules")


def test_one_that_can_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(process.StartError, match="scrape_config"):
        stack.start_prometheus(tmp_path, {"scrape_config": []})


def test_the_rest_is_stopped_when_a_part_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A discovery whose kubectl has no cluster answers nothing."""
    monkeypatch.setattr(process, "START_SECONDS", 0.5)
    with pytest.raises(process.StartError, match="discovery did not start"):
        stack.start(
            tmp_path, kubeconfig=tmp_path / "none", operator="127.0.0.1:1", namespace="rephrase-system"
        )
    assert not (tmp_path / "prometheus.yml").exists()


def test_a_part_that_does_not_end_by_itself_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_SECONDS", 0.1)
    port = process.free_port()
    serve = "import http.server, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    serve += (
        f"http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()"
    )
    part = process.start("stubborn", [sys.executable, "-c", serve], folder=tmp_path, port=port, ready="/")
    part.stop()
    assert part.process.returncode == -9
