"""The source: where documents come from, and how they lie there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rephrase_worker.spec.contract import Contract, Text, Uri


class Source(Contract):
    """Where the documents come from."""

    uri: Uri = Field(
        description="A file, a folder or a glob: s3://BUCKET/path, gs://BUCKET/path, abfs://CONTAINER/path, "
        "hf://datasets/OWNER/NAME/path, hf://buckets/OWNER/NAME/path, pvc://CLAIM/path (a "
        "PersistentVolumeClaim of the job's namespace) or, where the installer of the operator allows it, an "
        "absolute path. Credentials never go into the URI."
    )
    format: Literal["auto", "parquet", "jsonl"] = Field(
        default="auto",
        description="auto goes by suffix: .parquet or .pq; .jsonl, .ndjson or .json, as .gz, .zst, "
        ".bz2 or .xz. parquet and jsonl also read files without such a suffix.",
    )
    text_field: Text = Field(default="text", description="Column or key that holds a document's text.")
    id_field: Text | None = Field(
        default=None,
        description="Column or key that holds a document's id. Ids may repeat: the key of a document is its "
        "file and position. Unset: the file's name and the position.",
    )
    revision: Text | None = Field(
        default=None,
        description="Branch, tag or commit of an hf:// dataset; pinned to a commit when planned.",
    )
    max_documents: int | None = Field(
        default=None,
        ge=1,
        le=10**12,
        description="Take only about this many documents, from the first file on.",
    )
