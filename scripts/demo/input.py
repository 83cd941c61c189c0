"""The demo's documents: twelve short texts, written for this project, in examples/documents.jsonl.

They hold facts and figures that every prompt can work with, and document and output fit the demo's context.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scripts.demo.shell import ROOT, DemoError

DOCUMENTS = ROOT / "examples" / "documents.jsonl"
USUAL = 8
"""Documents of a run that asks for no number."""


@dataclass(frozen=True)
class Wish:
    """What the user wants to be rephrased."""

    count: int | None
    """Number of documents."""
    path: Path | None
    """A file or folder of the user's own."""


def wish(environment: Mapping[str, str]) -> Wish:
    """Read DOCS and INPUT. Raises DemoError if they can't be meant."""
    count, path = environment.get("DOCS"), environment.get("INPUT")
    if count is not None and not (count.isdigit() and int(count) > 0):
        raise DemoError(f"DOCS={count}: give the number of documents, such as DOCS=2")
    if path is None and count and int(count) > available():
        raise DemoError(
            f"DOCS={count}: the demo has {available()} documents; bring your own with INPUT=my.parquet"
        )
    if path is not None and not Path(path).exists():
        raise DemoError(f"INPUT={path}: there is no such file or folder")
    return Wish(int(count) if count else None, Path(path).resolve() if path else None)


def available() -> int:
    """How many documents there are."""
    return len(_lines())


def write(folder: Path, documents: int) -> None:
    """Write the first `documents` documents as a parquet file, a JSONL file and a gzipped JSONL file.

    Half go into the first and a quarter into each of the others, so that a shard can begin in one file and
    end in the next.
    """
    lines = _lines()[:documents]
    half, rest = len(lines) // 2, len(lines) - len(lines) // 4
    folder.mkdir(parents=True, exist_ok=True)
    if half:
        pq.write_table(
            pa.Table.from_pylist([json.loads(line) for line in lines[:half]]), folder / "a.parquet"
        )
    (folder / "b.jsonl").write_text("".join(lines[half:rest]), encoding="utf-8")
    if lines[rest:]:
        with gzip.GzipFile(folder / "c.jsonl.gz", "wb", mtime=0) as file:
            file.write("".join(lines[rest:]).encode())


def _lines() -> list[str]:
    return DOCUMENTS.read_text(encoding="utf-8").splitlines(keepends=True)
