"""A few of the dataset's texts, for people to judge. The same ones every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.spec import Contract, Recipe
from rephrase_worker.store import Store
from rephrase_worker.store.location import Location

EXAMPLES = 3
"""Texts of each prompt, from as many shards where there are."""

CHARACTERS = 2_000
"""Of a text; the rest is only counted."""

_COLUMNS = ["id", "source_file", "source_position", "text", "output_tokens", "finish_reason"]


class Example(Contract):
    """A text of the dataset."""

    id: str
    source_file: str
    source_position: int
    text: str
    left_out: int
    """Characters of the text after `text`."""
    output_tokens: int
    finish_reason: str | None


def examples(store: Store, recipe: Recipe, shards: Sequence[int]) -> dict[str, list[Example]]:
    """Texts of each prompt from the given finished shards, evenly from the first to the last.

    Blank texts and errors are passed over. Reads one row group of at most `EXAMPLES` files a prompt.
    """
    chosen = Counter(
        shards[number * (len(shards) - 1) // (EXAMPLES - 1)] for number in range(EXAMPLES) if shards
    )
    return {
        prompt.name: [
            text
            for shard, count in sorted(chosen.items())
            for text in store.examine(layout.sample_file(prompt.name, shard), partial(_of_file, count))
        ]
        for prompt in recipe.prompts
    }


def _of_file(count: int, location: Location) -> list[Example]:
    """Texts from the row group in the middle of a file."""
    with location.open(ahead=False) as opened:
        file = pq.ParquetFile(opened, pre_buffer=True)
        if not file.num_row_groups:
            return []
        table = file.read_row_group(file.num_row_groups // 2, columns=_COLUMNS)
    texts = table.column("text").to_pylist()
    usable = [place for place, text in enumerate(texts) if text and not text.isspace()]
    places = sorted(
        {usable[(2 * number + 1) * len(usable) // (2 * count)] for number in range(count) if usable}
    )
    return [_example(row) for row in table.take(pa.array(places, type=pa.int64())).to_pylist()]


def _example(row: dict[str, Any]) -> Example:
    text: str = row["text"]
    return Example(
        id=row["id"],
        source_file=row["source_file"],
        source_position=row["source_position"],
        text=text[:CHARACTERS],
        left_out=max(0, len(text) - CHARACTERS),
        output_tokens=row["output_tokens"],
        finish_reason=row["finish_reason"],
    )
