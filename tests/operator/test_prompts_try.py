"""`rephrase prompts render` and `try`: what a user sees, and what a server is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rephrase_operator.cli import main

KEY = "s3cret-key"
DOCUMENTS = [{"text": "Tides are <b>high</b>."}, {"text": ""}, {"text": "Bread\x1b[2J is old."}]


class Stub(ThreadingHTTPServer):
    """A server with chat completions that answers with the statuses it is given first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization"))
        if self.server.statuses and (status := self.server.statuses.pop(0)) != 200:
            return self._send(status, {"error": {"message": f"no, {KEY} <script>"}})
        self.server.asked.append(body)
        answer = {"message": {"content": "Q: What?\nA: <i>Tides</i>.\nQ: Why?\nA: The moon."}}
        usage = {"prompt_tokens": 50, "completion_tokens": 20}
        return self._send(200, {"choices": [answer | {"finish_reason": "stop"}], "usage": usage})

    def _send(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    return str(path)


def test_documents_go_through_prompts_and_both_views_show_them(
    stub: Stub,
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TRY_KEY", KEY)
    own = tmp_path / "own.md"
    own.write_text("---\nsystem: Be brief.\nstructure: table\n---\nMake a table.")
    page = tmp_path / "page.html"
    words = ["try", "faq", str(own), "--input", source, "--url", stub.url, "--api-key-env", "TRY_KEY"]
    assert main(["prompts", *words, "--html", str(page)]) == 0
    shown = capsys.readouterr()
    assert "✓ qa-pairs" in shown.out
    assert "✗ table" in shown.out
    assert "\x1b[2J" not in shown.out
    assert len(stub.asked) == 4, "two documents have a text, and there are two prompts"
    assert {body["model"] for body in stub.asked} == {"tiny"}
    systems = [body["messages"][0] for body in stub.asked if body["messages"][0]["role"] == "system"]
    assert systems == [{"role": "system", "content": "Be brief."}] * 2
    html = page.read_text()
    assert "&lt;i&gt;Tides&lt;/i&gt;" in html
    assert "<i>Tides" not in html
    assert "http://" not in html.replace("http-equiv", "")
    assert all(KEY not in text for text in (shown.out, shown.err, html))
    assert set(stub.keys) == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("statuses", "code", "said"),
    [
        ([429], 0, ""),
        ([400], 1, "the server answers 400"),
        ([401] * 9, 2, "--api-key-env"),
        ([404] * 9, 2, "has no model other. It has tiny"),
    ],
)
def test_answers_of_servers_that_refuse_are_explained(
    stub: Stub,
    source: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    statuses: list[int],
    code: int,
    said: str,
) -> None:
    monkeypatch.setenv("TRY_KEY", KEY)
    stub.statuses = statuses
    words = ["try", "faq", "--input", source, "--url", stub.url, "--model", "other", "--documents", "1"]
    assert main(["prompts", *words, "--api-key-env", "TRY_KEY"]) == code
    shown = capsys.readouterr()
    assert said in shown.out + shown.err
    assert KEY not in shown.out + shown.err


def test_a_server_that_is_not_there_is_named(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["try", "faq", "--input", source, "--url", "http://127.0.0.1:9/v1", "--model", "x"]
    assert main(["prompts", *words]) == 2
    assert "can't be reached" in capsys.readouterr().err


def test_render_without_a_model_shows_the_message(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts", "render", "faq", "--input", source, "--document", "2"]) == 0
    shown = capsys.readouterr()
    assert "Bread\ufffd[2J is old." in shown.out
    assert "--model" in shown.err
