"""Data of mixing: what is asked for, which shard reads what, and the accounts of one shard and of all.

Everything here lies under `_rephrase/mix/` at the destination of the mix, which is the job's own destination
unless somebody mixes by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from rephrase_worker.plan import Range, SourceListing
from rephrase_worker.spec import Contract, Mix, Model, Source


class MixOrder(Contract):
    """`mix/order.json`: what the mix is made from. The first to create it owns the mix."""

    schema_version: Literal[1] = 1
    dataset: str
    """URI of the dataset with the outputs."""
    recipe_hash: str
    """Of the dataset's recipe."""
    mix: Mix
    """With a share for every prompt of the dataset."""
    tokenizer: Model | None = None
    """Model whose tokenizer counts, pinned. None: words are counted, as the simulated engine does."""

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:16]


class MixListing(Contract):
    """`mix/source.json`: the original data's files, and what a sample of them says about its size."""

    schema_version: Literal[1] = 1
    source: Source
    files: SourceListing
    documents: int
    """Documents that the mix may use; an estimate unless `documents_exact`."""
    documents_exact: bool
    tokens_per_document: float
    """Mean of the sample. It decides how much each shard gets; what is written is counted exactly."""


class OutputRows(Contract):
    """A run of rows of one final file of the dataset: `start` inclusive, `end` exclusive."""

    prompt: str
    path: str
    bytes: int
    start: int
    end: int


class OriginalBlock(Contract):
    """A run of documents of the original data.

    A compressed file can't be cut. Its blocks are the documents whose key leaves the remainder `part` when it
    is divided by `parts`, and each of them reads the whole file.
    """

    range: Range
    documents: int
    """Planned; an estimate for text files."""
    part: int = 0
    parts: int = 1


class MixShardPlan(Contract):
    """`mix/plan/shard-00042.json`: what one shard of the mix is made from."""

    schema_version: Literal[1] = 1
    shard: int
    outputs: list[OutputRows]
    """All of them are read."""
    original: list[OriginalBlock]
    """Read in this order, until there is enough."""
    tokens: int | None = None
    """Size of the shard in tokens; None: every output once."""


class DatasetRows(Contract):
    """What the dataset has of a prompt, from its own account."""

    text: int
    """Empty ones included."""
    empty: int
    error: int
    filtered: int = 0
    """Left out of the dataset, because they don't have the prompt's structure."""
    missing: int
    """Samples of shards that have failed."""


class MixPlan(Contract):
    """`mix/plan/plan.json`: the summary, written last. If it exists, the plan of the mix is complete."""

    schema_version: Literal[1] = 1
    order_hash: str
    shards: int
    """0 if no prompt has a text."""
    prompts: dict[str, DatasetRows]
    documents: int
    documents_exact: bool
    tokens_per_document: float
    short_outputs: bool
    short_original: bool
    """What the plan knew to be too little even with all repetitions, so that the mix is smaller."""


class MixedOutputs(Contract):
    """What became of a prompt's rows in one shard: `used` + `error` + `empty` + `unused` are those read."""

    used: int = 0
    """Different outputs in the mix."""
    error: int = 0
    """Rows with an error instead of a text: never mixed in."""
    empty: int = 0
    """Outputs without any text: never mixed in."""
    unused: int = 0
    """Outputs that the shares or the size of the mix leave no room for."""
    rows: int = 0
    """Rows of the mix, repetitions included."""
    tokens: int = 0
    """Tokens of these rows."""


class MixedOriginal(Contract):
    """What became of the original documents that were read."""

    used: int = 0
    """Different documents in the mix."""
    unusable: int = 0
    """Without a text that can be read."""
    errors: dict[str, int] = Field(default_factory=dict)
    """These by code."""
    unused: int = 0
    """Read, and then not needed."""
    rows: int = 0
    tokens: int = 0


class MixManifest(Contract):
    """`mix/manifests/shard-00042.json`: the account of one shard, written last."""

    schema_version: Literal[1] = 1
    order_hash: str
    shard: int
    bytes: int
    prompts: dict[str, MixedOutputs]
    original: MixedOriginal
    most_repetitions: int
    """How often the row that is there most often is there."""
    short_outputs: bool
    """The outputs were too few for the size asked for, even with all repetitions."""
    short_original: bool
    """The original documents were too few for the shares, even with all repetitions."""


class PromptMix(MixedOutputs):
    """One prompt in the whole mix.

    `planned` = `used` + `error` + `empty` + `unused` + `filtered` + `missing`.
    `error`, `empty`, `filtered` and `missing` are those of the dataset.
    """

    planned: int
    """Samples that the dataset's plan asked for."""
    filtered: int = 0
    missing: int
    share_asked: float
    share_reached: float


class OriginalMix(MixedOriginal):
    """The original data in the whole mix: `documents` = `used` + `unusable` + `unused` if they are exact."""

    documents: int
    documents_exact: bool


class MixAccount(Contract):
    """`mix/account.json`: the whole mix. Derived from plan and manifests, so it may be written again."""

    schema_version: Literal[1] = 1
    order_hash: str
    seed: int
    shards: int
    bytes: int
    rows: int
    tokens: int
    share_asked: float
    """Of the outputs in all tokens: what the shares of the prompts come to together."""
    share_reached: float
    most_repetitions: int
    short: str
    """Why the mix is smaller than asked for; empty if it is not."""
    prompts: dict[str, PromptMix]
    original: OriginalMix


def add_outputs(parts: Iterable[MixedOutputs]) -> MixedOutputs:
    """The sum."""
    sums = dict.fromkeys(MixedOutputs.model_fields, 0)
    for part in parts:
        for name in sums:
            sums[name] += getattr(part, name)
    return MixedOutputs(**sums)


def add_originals(parts: Iterable[MixedOriginal]) -> MixedOriginal:
    """The sum; errors are ordered by code."""
    sums = dict.fromkeys(("used", "unusable", "unused", "rows", "tokens"), 0)
    errors: dict[str, int] = {}
    for part in parts:
        for name in sums:
            sums[name] += getattr(part, name)
        for code, count in part.errors.items():
            errors[code] = errors.get(code, 0) + count
    return MixedOriginal(errors=dict(sorted(errors.items())), **sums)


def original_needed(outputs: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """Original tokens that these tokens of outputs by prompt ask for, each at its prompt's share."""
    return sum(tokens * (1 - shares[name]) / shares[name] for name, tokens in outputs.items())


def share_of(synthetic: float, original: float) -> float:
    """Share of the outputs in all tokens; 0 for nothing."""
    return synthetic / (synthetic + original) if synthetic else 0.0
