"""The demo's documents: the long descriptions of the Python packages installed beside it.

Every machine that runs the demo has them, and they are what the product is for: real web-like text,
noisy (badges, tables, code, changelogs), of very uneven length, in several markups.
"""

from __future__ import annotations

import gzip
import json
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SHORTEST = 400
"""Characters; shorter descriptions hold nothing to rephrase."""


def descriptions() -> list[dict[str, str]]:
    """One record (`id`, `url`, `text`) per installed distribution with a description, by name."""
    found: dict[str, dict[str, str]] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        text = distribution.metadata.json.get("description")
        if name and isinstance(text, str) and len(text) >= SHORTEST:
            url = f"https://pypi.org/project/{name}/{distribution.version}/"
            found[name.lower()] = {"id": name, "url": url, "text": text}
    return [found[name] for name in sorted(found)]


def write(folder: Path, documents: int) -> int:
    """Write about `documents` records as parquet, JSONL and gzipped JSONL files of unequal size.

    Half go into two parquet files with small row groups, a third into JSONL, the rest into JSONL.gz, so
    that shards begin and end inside files and cross from one to the next. Returns how many were written.
    """
    records = descriptions()
    step = max(1, len(records) // documents)
    chosen = records[::step][:documents]
    cuts = [0, len(chosen) // 8, len(chosen) // 2, len(chosen) * 5 // 6, len(chosen)]
    small, large, plain, zipped = (chosen[a:b] for a, b in pairwise(cuts))
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("a-small.parquet", small), ("b-large.parquet", large)):
        if rows:
            pq.write_table(pa.Table.from_pylist(rows), folder / name, row_group_size=4)
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in plain]
    (folder / "c-lines.jsonl").write_text("".join(lines), encoding="utf-8")
    with gzip.GzipFile(folder / "d-zipped.jsonl.gz", "wb", mtime=0) as file:
        for record in zipped:
            file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
    return len(chosen)
