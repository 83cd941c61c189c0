"""What a recount finds: faults with a place and a remedy, and the verdict over all of them."""

from __future__ import annotations

from enum import Enum, StrEnum

from pydantic import Field

from rephrase_worker.spec import Contract

FAULTS_KEPT = 1_000
"""Faults that are kept with their sentences; the rest is only counted."""

NAMED = 3
"""Rows, shards or files that a sentence names of many."""


class Depth(Enum):
    """How much of the final files is read."""

    QUICK = "quick"
    """Sizes and footers: numbers of rows, texts and errors."""
    ROWS = "rows"
    """Every column but the texts: each key, each count, each value that all rows have in common."""
    CONTENT = "content"
    """Every byte: checksums and empty texts too."""


class FaultKind(StrEnum):
    """What is wrong, for programs."""

    RECIPE = "recipe"
    """The recipe is not the one that plan and manifests were made with."""
    PLAN = "plan"
    """The plans of the shards do not make up the source once, or contradict the plan's summary."""
    MANIFEST = "manifest"
    """A manifest is missing, damaged, or contradicts itself."""
    ACCOUNT = "account"
    """account.json contradicts the manifests."""
    FILE_MISSING = "file-missing"
    FILE_FOREIGN = "file-foreign"
    FILE_DAMAGED = "file-damaged"
    """A file can't be decoded, or its size or checksum is another than when it was written."""
    SCHEMA = "schema"
    """A final file has other columns or types than its job writes."""
    ROWS_MISSING = "rows-missing"
    ROWS_REPEATED = "rows-repeated"
    ROWS_FOREIGN = "rows-foreign"
    """Rows of positions that the shard does not have."""
    ROW_ORDER = "row-order"
    VALUES = "values"
    """Rows with another prompt, prompt hash, model or revision than the recipe's."""
    COUNTS = "counts"
    """The rows add up to other figures than the manifest's."""
    SOURCE = "source"
    """The source has documents that the dataset has not, or the other way round."""


class Outcome(StrEnum):
    """The verdict."""

    COMPLETE = "complete"
    """Everything is there once, and every figure agrees."""
    INCOMPLETE = "incomplete"
    """What is there is right, and the account says what is missing."""
    FAULTY = "faulty"


class Fault(Contract):
    """What is wrong, where, and what to do about it."""

    kind: FaultKind
    where: str
    """Path in the dataset."""
    what: str
    remedy: str


class Verification(Contract):
    """What a recount found."""

    dataset: str
    depth: str
    outcome: Outcome
    source_read: bool = False
    """Whether the positions of the source were recounted as well."""
    shards: int = 0
    shards_finished: int = 0
    missing_shards: str = ""
    """Shards without a manifest, as intervals."""
    finalized: bool = True
    mix_shards: int = 0
    """Shards of the mix; 0 without a mix."""
    mix_shards_finished: int = 0
    mix_rows: int = 0
    files: int = 0
    rows: int = 0
    documents: int = 0
    planned: int = 0
    text: int = 0
    error: int = 0
    filtered: int = 0
    """Left out because they don't have their prompt's structure."""
    missing: int = 0
    output_tokens: int = 0
    fault_count: int = 0
    faults: list[Fault] = Field(default_factory=list)
    """The first `FAULTS_KEPT`."""


def several(names: list[str], total: int) -> str:
    """The first names of `total`: `a, b, c and 4 more`."""
    shown = names[:NAMED]
    rest = total - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest > 0 else "")


def redo(shard: int) -> str:
    """How to get a shard's files back when they are not as they were written."""
    return (
        f"Copy the files of shard {shard} again from where the dataset was made. If they are like this there "
        f"too, remove them and _rephrase/manifests/shard-{shard:05d}.json and start the job again: it "
        "generates this shard alone."
    )
