"""A stub of the Hub, and huggingface_hub's own client pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.stub import StubHub, stub_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StubHub]:
    """The Hub of this test. Its client has an empty cache and no token, and is not offline."""
    with stub_hub() as stub:
        constants = "huggingface_hub.constants"
        monkeypatch.setattr(f"{constants}.ENDPOINT", stub.url)
        template = stub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
        monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(f"{constants}.HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", stub.url)
        monkeypatch.setattr("rephrase_worker.hub.PATIENCE_SECONDS", 20.0)
        monkeypatch.setattr("rephrase_worker.hub._FIRST_WAIT_SECONDS", 0.01)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield stub
