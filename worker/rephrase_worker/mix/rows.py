"""A row of the mix, and batches of rows on their way into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

Kind = Literal["synthetic", "original"]

SCHEMA = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_position", pa.int64(), nullable=False),
        pa.field("rollout", pa.int32()),
        pa.field("id", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("repetition", pa.int32(), nullable=False),
    ],
    metadata={"rephrase_schema_version": "1"},
)
"""An output's source is that of its sample. `prompt` and `rollout` are null for original documents, and
`repetition` counts from 0."""

SPOOLED = pa.schema([field for field in SCHEMA if field.name != "repetition"] + [("key", pa.uint64())])
"""A row before it is known how often it is used."""


@dataclass(slots=True)
class Batch:
    """Rows of one kind and prompt, column by column."""

    kind: Kind
    prompt: str | None
    texts: list[str] = field(default_factory=list)
    source_files: list[str] = field(default_factory=list)
    source_positions: list[int] = field(default_factory=list)
    rollouts: list[int | None] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)

    def add(
        self, text: str, source_file: str, position: int, rollout: int | None, id_: str, key: int
    ) -> None:
        """Add a row."""
        self.texts.append(text)
        self.source_files.append(source_file)
        self.source_positions.append(position)
        self.rollouts.append(rollout)
        self.ids.append(id_)
        self.keys.append(key)

    def to_arrow(self, tokens: Sequence[int]) -> pa.RecordBatch:
        """The rows with their tokens, as `SPOOLED`."""
        count = len(self.texts)
        columns = [
            self.texts,
            [self.kind] * count,
            [self.prompt] * count,
            self.source_files,
            self.source_positions,
            self.rollouts,
            self.ids,
            tokens,
            self.keys,
        ]
        arrays = [
            pa.array(column, type=spooled.type) for column, spooled in zip(columns, SPOOLED, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=SPOOLED)
