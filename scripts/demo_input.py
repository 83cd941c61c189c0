"""The demo's documents: twelve short texts, written for this project, in examples/documents.jsonl.

They hold facts and figures that every prompt can work with, and document and output fit the demo's context.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

DOCUMENTS = Path(__file__).resolve().parent.parent / "examples" / "documents.jsonl"


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
