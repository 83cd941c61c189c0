"""`make dashboard`: its jobs, how answers are counted, what pictures show. Drawing itself needs npm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dashboards.__main__ import FOLDER
from dashboards.reading import panels, queries
from rephrase_operator.api.rephrasejob import RephraseJobSpec
from scripts.dashboard import answers, gallery, jobs
from scripts.dashboard.pictures import RENDER, Picture

MOMENT = answers.Moment(began=1000, ended=2000, scrape_seconds=5)
SHIM = Path(answers.__file__).parent / "bin" / "rephrase-worker"


@pytest.fixture
def prometheus() -> Iterator[tuple[str, dict[str, list[Any]], list[dict[str, str]]]]:
    """A server in the place of Prometheus: its URL, its answers by expression, and what it was asked."""
    known: dict[str, list[Any]] = {}
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            wanted = dict(urllib.parse.parse_qsl(body)) | {"path": self.path}
            asked.append(wanted)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"result": known.get(wanted["query"], [])}}).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", known, asked
        server.shutdown()


def dashboard(**targets: dict[str, Any]) -> dict[str, Any]:
    panel = {
        "type": "stat",
        "title": "t",
        "targets": [{"refId": ref, **each} for ref, each in targets.items()],
    }
    return {"uid": "u", "panels": [{"type": "row", "title": "r"}, panel]}


def test_series_with_a_number_are_counted_by_the_best_choice(prometheus: Any) -> None:
    url, known, asked = prometheus
    number, nothing = {"values": [[1, "NaN"], [2, "3"]]}, {"values": [[1, "NaN"]]}
    known |= {'a{job="x"}': [nothing], 'a{job="y"}': [number, number, nothing], "rate(b[20s])": []}
    shown = dashboard(A={"expr": 'a{job="$job"}'}, B={"expr": "rate(b[$__rate_interval])"})
    found = answers.answers(url, shown, [{"job": "x"}, {"job": "y"}], MOMENT)
    assert [(each.query.ref, each.series) for each in found] == [("A", 2), ("B", 0)]
    assert all(each["path"] == "/api/v1/query_range" and each["end"] == "2000" for each in asked)
    lines = answers.table(found).splitlines()
    assert lines[1].split() == ["u", "t", "A", "2"]
    assert lines[2].split() == ["u", "t", "B", "NONE"]


def test_a_query_of_one_moment_is_asked_at_the_end(prometheus: Any) -> None:
    url, known, asked = prometheus
    known["a"] = [{"value": [2000, "1"]}]
    (found,) = answers.answers(url, dashboard(A={"expr": "a", "instant": True}), [{}], MOMENT)
    assert found.series == 1
    assert asked[0]["path"] == "/api/v1/query"
    assert float(asked[0]["time"]) == MOMENT.ended


def test_the_jobs_are_valid_and_say_when_they_are_simulated(tmp_path: Path) -> None:
    manifests = [jobs.real(), *jobs.simulated(tmp_path)]
    assert [each["metadata"]["name"] for each in manifests] == list(jobs.ALL)
    for manifest in manifests:
        spec = RephraseJobSpec.model_validate(manifest["spec"])
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        assert namespace == jobs.namespace_of(name)
        simulated = any(each.name.startswith("REPHRASE_SIMULATED") for each in spec.worker.env)
        assert simulated == name.startswith("simulated-")
        assert spec.cost.gpu_hour_price


@pytest.mark.parametrize("simulated", [True, False])
def test_only_a_simulated_job_gets_the_simulated_engine(tmp_path: Path, simulated: bool) -> None:
    given = {
        "engine.json": {"backend": "vllm", "maxNumSeqs": 7},
        "recipe.json": {"model": {"name": "m"}, "x": 1},
    }
    for name, content in given.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "tmp").mkdir()
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(tmp_path / "tmp")}
    if simulated:
        environment["REPHRASE_SIMULATED_TOKEN_SECONDS"] = "0.1"
    words = ["generate", "--recipe", str(tmp_path / "recipe.json"), "--engine", str(tmp_path / "engine.json")]
    done = subprocess.run(
        [sys.executable, SHIM, *words], env=environment, capture_output=True, text=True, check=True
    )
    module, worker, step, _, recipe, _, engine = done.stdout.splitlines()
    assert (module, worker, step) == ("-m", "rephrase_worker", "generate")
    read = [json.loads(Path(path).read_text()) for path in (engine, recipe)]
    if simulated:
        assert read == [{"backend": "simulated", "maxNumSeqs": 7}, {"model": {"name": "simulated"}, "x": 1}]
    else:
        assert read == list(given.values())


@pytest.mark.parametrize("picture", gallery.PICTURES, ids=lambda picture: picture.file)
def test_a_picture_shows_what_the_dashboard_has(picture: Picture) -> None:
    shown = json.loads((FOLDER / f"{picture.dashboard}.json").read_text())
    titles = {panel["title"] for panel in panels(shown)}
    rows = {"", *(panel["title"] for panel in shown["panels"] if panel["type"] == "row")}
    assert {*picture.panels, *picture.without} <= titles
    assert set(picture.sections) <= rows
    assert picture.variables.keys() == {each["name"] for each in shown["templating"]["list"]} - {"datasource"}
    if any(job.startswith("simulated-") for job in picture.variables.values()):
        assert "placeholder text" in picture.caption


def test_every_panel_of_a_dashboard_is_in_a_picture() -> None:
    for path in FOLDER.glob("*.json"):
        shown = json.loads(path.read_text())
        drawn: set[str] = set()
        for picture in gallery.PICTURES:
            if picture.dashboard == shown["uid"] and not picture.panels:
                drawn |= _titles(shown, picture)
        assert drawn == {query.panel for query in queries(shown)}


def _titles(shown: dict[str, Any], picture: Picture) -> set[str]:
    section, found = "", set()
    for panel in shown["panels"]:
        if panel["type"] == "row":
            section = panel["title"]
        elif not picture.sections or section in picture.sections:
            found.add(panel["title"])
    return found - set(picture.without)


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((RENDER / "package-lock.json").read_text())
    wanted = json.loads((RENDER / "package.json").read_text())
    assert lock["packages"][""]["dependencies"] == wanted["dependencies"]
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name
