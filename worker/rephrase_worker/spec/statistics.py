"""What planning measures of the documents: the basis of the estimate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rephrase_worker.spec.contract import Contract

SHARD_GROUPS = 16
"""Most entries of `Statistics.shards`: a report has to fit into a termination message."""

BASIS_CHARACTERS = 300
"""Most characters of `Statistics.output_basis`."""


class ShardGroup(Contract):
    """Shards that follow each other and have about the same size."""

    shards: int
    documents: float
    """Documents of each of them; the mean where they differ a little."""


class Statistics(Contract):
    """Tokens of a sample of the documents, as `plan/statistics.json` and in the plan's report.

    All tokens are per document: of all its prompts together and all rollouts, with documents that become
    errors counted as 0. A low and a high figure enclose what is likely (about 19 times in 20).
    """

    schema_version: Literal[1] = 1
    unit: Literal["tokens", "words"] = "tokens"
    """`words` for the simulated engine, which has no tokenizer."""
    documents: int = 0
    documents_low: int = 0
    documents_high: int = 0
    """Differ from `documents` where it is an estimate."""
    sampled: int = 0
    """Documents that were looked at; 0 if none could be read, and nothing is known then."""
    unusable: int = 0
    """Of those, documents that will become errors: without a text, or that can't be rendered."""
    unreadable_places: int = 0
    """Places of the source that could not be read for the sample."""
    document_tokens: float = 0.0
    """Tokens of a usable document's text, as far as it fits the context."""
    document_deviation: float = 0.0
    """Standard deviation of that."""
    truncated: float = 0.0
    """Share of the usable documents whose end is cut off."""
    prompt_tokens: float = 0.0
    prompt_tokens_low: float = 0.0
    prompt_tokens_high: float = 0.0
    """Tokens of the prompts, after truncation."""
    repeated_tokens: float = 0.0
    """Of `prompt_tokens`: tokens with which an earlier prompt of the same document begins, too. A prefix
    cache computes them once."""
    output_tokens: float = 0.0
    output_tokens_low: float = 0.0
    output_tokens_high: float = 0.0
    """What is expected of the model."""
    cut: float = 0.0
    """Share of the outputs that sampling.maxTokens is expected to cut off."""
    output_basis: Annotated[str, Field(max_length=BASIS_CHARACTERS)] = ""
    """Where the expectation comes from, in a sentence."""
    shards: Annotated[list[ShardGroup], Field(max_length=SHARD_GROUPS)] = Field(default_factory=list)
    """The shards in the order in which they start."""
