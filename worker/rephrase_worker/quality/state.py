"""A shard's counts at the destination: `_rephrase/quality/shard-00042.json.zst`.

They are computed from the shard's committed final files, like its manifest, and written before it. So they
survive whatever the samples survive, and the finalizer never reads a text: a shard's counts are some tens of
kilobytes a prompt, however many samples it has.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Literal

from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.spec import Contract

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALLEST_SHARE = 1000
"""A shard keeps the openings of at least one in so many of its texts, so at most so many. What it leaves out
makes a count too low by at most 0.1% of the texts; a shard of up to 1,000 texts leaves nothing out."""

MOST_OPENINGS = 50_000
"""Different openings that are counted at once, by prompt and measure; with more, the rare half is left out. A
shard of an hour's work has fewer texts. An opening takes about 200 bytes of memory."""


class ShardQuality(Contract):
    """The counts of one shard."""

    schema_version: Literal[1] = 1
    recipe_hash: str
    shard: int
    prompts: dict[str, PromptCounts]


def kept(counts: PromptCounts) -> PromptCounts:
    """What a shard keeps of its counts."""
    return counts.trimmed(most=SMALLEST_SHARE, least=-(-counts.samples // SMALLEST_SHARE))


def bounded(counts: PromptCounts) -> PromptCounts:
    """The counts within the limit of memory."""
    largest = max(len(each.counts) for each in (counts.sentences, counts.first10, counts.first30))
    return counts if largest <= MOST_OPENINGS else counts.trimmed(most=MOST_OPENINGS // 2)


def encode(quality: ShardQuality) -> bytes:
    """The content of the file."""
    return bytes(zstd.compress(quality.to_json().encode()))


def decode(content: bytes) -> bytes:
    """The JSON in the file; what is no such file is returned as it is, and is no JSON."""
    try:
        return bytes(zstd.decompress(content))
    except zstd.ZstdError:
        return content


def add(one: Mapping[str, PromptCounts], other: Mapping[str, PromptCounts]) -> dict[str, PromptCounts]:
    """The sum, prompt by prompt."""
    return {
        name: bounded(one.get(name, PromptCounts()) + other.get(name, PromptCounts()))
        for name in dict.fromkeys((*one, *other))
    }
