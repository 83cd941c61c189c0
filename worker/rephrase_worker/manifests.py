"""Accounts of one prompt in one shard, of one shard, and of the whole job: sums over plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from rephrase_worker.spec import Contract
from rephrase_worker.timeline import Timeline


class PromptAccount(Contract):
    """What became of one prompt's samples. `text` plus `error` is the number of rows.

    The other figures are of these rows, but for those that begin with `filtered`.
    """

    text: int = 0
    empty: int = 0
    """Of `text`: those that are empty or only white space. The model answered with nothing."""
    error: int = 0
    filtered: int = 0
    """Texts without the prompt's structure, left out because the prompt says so."""
    filtered_output_tokens: int = 0
    """Tokens that the model wrote for these."""
    errors: dict[str, int] = Field(default_factory=dict)
    """Samples in error by code, most frequent first."""
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    output_tokens: int = 0
    truncated: int = 0
    finish_reasons: dict[str, int] = Field(default_factory=dict)
    bytes: int = 0
    """Size of the final files."""
    memory_bytes: int = 0
    """Size of their rows in memory, in Arrow's format: what the Hub calls `num_bytes`."""


class Manifest(Contract):
    """`manifests/shard-00042.json`: the account of one shard, computed from its committed files.

    It is written last: if it exists, the shard is finished.
    """

    schema_version: Literal[1] = 1
    recipe_hash: str
    shard: int
    documents: int
    """Number of positions that reading the shard found."""
    prompts: dict[str, PromptAccount]
    checksums: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each prompt's final file, in hex. `rephrase verify --content` compares it."""
    timeline: Timeline = Timeline()
    """The work on the shard, as its segments noted it."""


class PromptTotals(PromptAccount):
    """One prompt in the whole job. `planned` = `text` + `error` + `filtered` + `missing`."""

    planned: int
    """Samples that the plan asks for: documents times rollouts."""
    missing: int = 0
    """Planned samples of the shards that have no manifest."""


class Account(Contract):
    """`account.json`: the whole job. Derived from plan and manifests, so it may be written again."""

    schema_version: Literal[2] = 2
    recipe_hash: str
    shards: int
    missing_shards: int
    """Shards without a manifest: they failed, or were never run."""
    missing_shard_numbers: str
    """Which these are, as intervals: `0-41,43`."""
    documents: int
    """Documents of the source, those of missing shards included."""
    documents_exact: bool
    """False when the documents of missing shards are an estimate."""
    unfinished_files: int
    """Final files of shards without a manifest. They are whole, but no figure here counts them."""
    unfinished_file_numbers: dict[str, str]
    """The shards of these files by prompt, as intervals."""
    prompts: dict[str, PromptTotals]


def add(accounts: Iterable[PromptAccount]) -> PromptAccount:
    """The sum of several accounts of one prompt."""
    sums: dict[str, int] = dict.fromkeys(_COUNTS, 0)
    errors: dict[str, int] = {}
    finish_reasons: dict[str, int] = {}
    for account in accounts:
        for field in _COUNTS:
            sums[field] += getattr(account, field)
        for totals, counts in ((errors, account.errors), (finish_reasons, account.finish_reasons)):
            for name, count in counts.items():
                totals[name] = totals.get(name, 0) + count
    return PromptAccount(
        errors=most_frequent_first(errors), finish_reasons=most_frequent_first(finish_reasons), **sums
    )


def most_frequent_first(counts: dict[str, int]) -> dict[str, int]:
    """The same counts, ordered by count and then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


_COUNTS = (
    "text",
    "empty",
    "error",
    "filtered",
    "filtered_output_tokens",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
    "truncated",
    "bytes",
    "memory_bytes",
)
