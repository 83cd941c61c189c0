"""The demo's documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rephrase_worker.planner.listing import list_source
from scripts.demo import input as demo_input
from scripts.demo.shell import DemoError
from tests.worker.builders import make_recipe


@pytest.mark.parametrize("documents", [1, 2, 3, 8, demo_input.available()])
def test_every_document_is_in_exactly_one_file(tmp_path: Path, documents: int) -> None:
    demo_input.write(tmp_path / "input", documents)
    listing = list_source(make_recipe(tmp_path / "input", tmp_path / "out"), None)
    assert sum(file.documents for file in listing.files) == documents


def test_documents_and_outputs_fit_the_context_of_the_demo() -> None:
    documents = [json.loads(line) for line in demo_input.DOCUMENTS.read_text().splitlines()]
    assert len({document["id"] for document in documents}) == len(documents)
    # A word of English is about one and a half tokens; the context also holds an instruction of a hundred.
    assert max(len(document["text"].split()) for document in documents) * 1.5 < 1024 - 256 - 100


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DOCS": str(demo_input.available() + 1)}, f"has {demo_input.available()} documents.*INPUT="),
        ({"DOCS": "0"}, "such as DOCS=2"),
        ({"INPUT": "/no/such/file"}, "no such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(DemoError, match=message):
        demo_input.wish(environment)
