"""Deals the outputs and the original data to the shards of the mix: pure functions of what is frozen.

Both sides are cut into blocks, and the blocks are dealt to the shards in the order of their keys. So every
shard is a random sample of blocks from the whole of both sides. Within a shard the order of rows is random.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rephrase_worker.mix.keys import Keyed
from rephrase_worker.mixes import MixListing, MixShardPlan, OriginalBlock, OutputRows, original_needed
from rephrase_worker.source.cutting import Take, range_of, takes
from rephrase_worker.spec import Mix

TOKENS_PER_SHARD = 128_000_000
"""About half a gigabyte of text, and a few minutes of tokenizing."""

MAX_SHARDS = 100_000
"""Most completions that an Indexed Job can run with any parallelism."""

BLOCKS = 16
"""Blocks of each prompt, and of the original data, that a shard gets. More of them would be a finer sample
and more reading: a row group of 10,000 rows is read whole even for a few of them."""

MARGIN = 1.25
"""Outputs are dealt with this margin over what the plan expects to use, because its figures are estimates."""

ORIGINAL_MARGIN = 64
"""Blocks of original data are dealt with this margin, and read only until there is enough. Where a few
documents hold most of the tokens, and don't fit, many of the others are needed."""

_MOST_BLOCKS = 200_000
"""Most blocks of a prompt or of the original data; they are sorted in memory."""


@dataclass(frozen=True)
class OutputFile:
    """A final file of the dataset."""

    prompt: str
    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Expected:
    """What the mix will come to, as far as can be told before anything is counted."""

    shards: int
    used: float
    """How often an output is used on average."""
    documents: int = 0
    """Different original documents."""
    short_outputs: bool = False
    """Even with all repetitions the outputs are too few for the size asked for."""
    short_original: bool = False
    """Even with all repetitions the original documents are too few for the shares."""


def expect(mix: Mix, tokens: Mapping[str, int], rows: int, listing: MixListing) -> Expected:
    """The size of the mix. `tokens` are those of the outputs by prompt, `rows` all that have a text."""
    whole = sum(tokens.values()) + original_needed(tokens, mix.share)
    if not whole or not rows or not listing.documents:
        return Expected(shards=0, used=0.0)
    available = listing.documents * listing.tokens_per_document * mix.max_repetitions
    wanted = mix.tokens / whole if mix.tokens else 1.0
    needed = original_needed(tokens, mix.share)
    possible = min(mix.max_repetitions, available / needed)
    used = min(wanted, possible)
    shards = mix.shards or math.ceil(used * whole / TOKENS_PER_SHARD)
    return Expected(
        shards=max(1, min(shards, MAX_SHARDS, listing.documents, rows)),
        used=used,
        documents=min(listing.documents, math.ceil(used * needed / listing.tokens_per_document)),
        short_outputs=wanted > possible == mix.max_repetitions,
        short_original=wanted > possible < mix.max_repetitions,
    )


def deal(
    mix: Mix, expected: Expected, files: Sequence[OutputFile], listing: MixListing
) -> Iterator[MixShardPlan]:
    """The plan of every shard, in order."""
    if not expected.shards:
        return
    keyed = Keyed(mix.seed)
    outputs: list[list[OutputRows]] = [[] for _ in range(expected.shards)]
    for _, group in groupby(files, key=lambda file: file.prompt):
        for number, rows in enumerate(_chosen_rows(list(group), expected, keyed)):
            outputs[number % expected.shards].append(rows)
    blocks = _chosen_blocks(mix, expected, listing, keyed)
    size = None if mix.tokens is None else math.ceil(mix.tokens / expected.shards)
    for shard in range(expected.shards):
        yield MixShardPlan(
            shard=shard,
            outputs=list(_joined(outputs[shard])),
            original=blocks[shard :: expected.shards],
            tokens=size,
        )


def _chosen_rows(files: list[OutputFile], expected: Expected, keyed: Keyed) -> list[OutputRows]:
    """The blocks of one prompt that are dealt, in the order in which they are."""
    total = sum(file.rows for file in files)
    wanted = math.ceil(total * min(1.0, expected.used * MARGIN))
    size = max(1, math.ceil(wanted / (expected.shards * BLOCKS)), math.ceil(total / _MOST_BLOCKS))
    cut = [
        OutputRows(
            prompt=file.prompt,
            path=file.path,
            bytes=file.bytes,
            start=start,
            end=min(start + size, file.rows),
        )
        for file in files
        for start in range(0, file.rows, size)
    ]
    chosen, there = [], 0
    for rows in sorted(cut, key=lambda rows: keyed.of("rows", rows.path, rows.start)):
        if there >= wanted:
            break
        chosen.append(rows)
        there += rows.end - rows.start
    return chosen


def _joined(rows: Iterable[OutputRows]) -> Iterator[OutputRows]:
    """The runs by file and position. Runs that touch become one, so that a file is opened once for them."""
    last: OutputRows | None = None
    for run in sorted(rows, key=lambda run: (run.path, run.start)):
        if last is not None and (last.path, last.end) == (run.path, run.start):
            last = last.model_copy(update={"end": run.end})
            continue
        if last is not None:
            yield last
        last = run
    if last is not None:
        yield last


def _chosen_blocks(mix: Mix, expected: Expected, listing: MixListing, keyed: Keyed) -> list[OriginalBlock]:
    """The blocks of the original data that are dealt, in the order in which they are."""
    taken = takes(listing.files, mix.source.max_documents)
    total = sum(take.documents for take in taken)
    size = max(1, expected.documents // (expected.shards * BLOCKS), math.ceil(total / _MOST_BLOCKS))
    cut = [block for take in taken for block in _blocks(take, size)]
    return sorted(cut, key=lambda block: _key_of(keyed, block))[: ORIGINAL_MARGIN * BLOCKS * expected.shards]


def _blocks(take: Take, size: int) -> Iterator[OriginalBlock]:
    if take.file.compression is not None:
        whole, _ = range_of(take, 0, take.documents)
        parts = max(1, round(take.documents / size))
        for part in range(parts):
            yield OriginalBlock(range=whole, documents=take.documents // parts, part=part, parts=parts)
        return
    for done in range(0, take.documents, size):
        documents = min(size, take.documents - done)
        yield OriginalBlock(range=range_of(take, done, documents)[0], documents=documents)


def _key_of(keyed: Keyed, block: OriginalBlock) -> int:
    return keyed.of("block", block.range.file.path, block.range.start, block.part)
