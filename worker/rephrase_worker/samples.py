"""A sample: one output of one prompt for one document, and its row in a parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from rephrase_worker.columns import Carried, CarriedColumn, carried_schema


class Key(NamedTuple):
    """What makes a sample unique. Ids of documents may repeat; keys don't."""

    source_file: str
    source_position: int
    prompt: str
    rollout: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row. `text` is None on error, `error` (`code: sentence`) is None on success."""

    id: str
    source_file: str
    source_position: int
    rollout: int
    text: str | None
    error: str | None
    finish_reason: str | None
    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int
    truncated: bool
    """The end of the document was cut off to fit the context."""
    document_language: str | None = None
    """What `quality.language` says of the document; None where it was not rendered."""
    prompt: str
    prompt_hash: str
    model: str
    revision: str | None
    seed: int | None
    carried: Carried | None = None
    """The document's values of the source's columns that the job carries along; None: all of them are
    null.
    """

    @property
    def key(self) -> Key:
        """What makes this sample unique."""
        return Key(self.source_file, self.source_position, self.prompt, self.rollout)


SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_position", pa.int64(), nullable=False),
        pa.field("rollout", pa.int32(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("error", pa.string()),
        pa.field("finish_reason", pa.string()),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("cached_prompt_tokens", pa.int32(), nullable=False),
        pa.field("output_tokens", pa.int32(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("document_language", pa.string()),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("prompt_hash", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("revision", pa.string()),
        pa.field("seed", pa.int64()),
    ],
    metadata={"rephrase_schema_version": "1"},
)


def sample_schema(columns: Iterable[CarriedColumn]) -> pa.Schema:
    """`SCHEMA`, followed by the source's columns that the job carries along."""
    return pa.schema([*SCHEMA, *carried_schema(columns)], metadata=SCHEMA.metadata)


def to_table(samples: Sequence[Sample], schema: pa.Schema = SCHEMA) -> pa.Table:
    """The samples as a table of a job's schema, in the order given."""
    own = pa.Table.from_pylist(
        [{name: getattr(sample, name) for name in SCHEMA.names} for sample in samples], schema=SCHEMA
    )
    carried = pa.schema(list(schema)[len(SCHEMA) :])
    if not carried.names:
        return own
    nothing = Carried(pa.RecordBatch.from_pylist([{}], schema=carried), 0)
    rows = [sample.carried or nothing for sample in samples]
    table = pa.Table.from_batches([row.batch.slice(row.row, 1) for row in rows], schema=carried)
    for field, column in zip(carried, table.combine_chunks().columns, strict=True):
        own = own.append_column(field, column)
    return own.replace_schema_metadata(schema.metadata)


def is_empty(text: str) -> bool:
    """Whether the model answered with nothing, or with nothing but white space."""
    return not text or text.isspace()


def error_code(error: str) -> str:
    """The code at the start of a sample's `error`: `empty_text` in `empty_text: the text is empty`."""
    return error.partition(":")[0]
