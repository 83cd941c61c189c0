"""One shard of the mix: read, count, choose, shuffle, write once, account for what was written.

The shard keeps its shares by itself. It reads all of its outputs and counts them, and then reads original
documents until they match. So every shard has the shares that were asked for, to within half a document, and
none of them knows of another. A shard that was killed is made again from the start, into the same file.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_mix_manifest
from rephrase_worker.mix import quotas
from rephrase_worker.mix.inputs import OriginalReader, OutputReader
from rephrase_worker.mix.keys import Keyed
from rephrase_worker.mix.quotas import Counts
from rephrase_worker.mix.rows import Batch
from rephrase_worker.mix.spool import Spool, write_shuffled
from rephrase_worker.mix.tokens import TokenCounter
from rephrase_worker.mixes import (
    MixedOriginal,
    MixedOutputs,
    MixListing,
    MixManifest,
    MixOrder,
    MixShardPlan,
    OriginalBlock,
    original_needed,
)
from rephrase_worker.spec import Reason, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.store.location import Location
from rephrase_worker.store.scratch import scratch

log = logging.getLogger(__name__)

_NEAR = 0.001
"""Original documents are read until they come so close to the tokens that the shares ask for."""

OnTokens = Callable[[int], None]


class MixShard:
    """Makes one shard. `on_tokens` is told the tokens of every batch that was read."""

    def __init__(
        self,
        store: Store,
        order: MixOrder,
        listing: MixListing,
        plan: MixShardPlan,
        on_tokens: OnTokens,
    ) -> None:
        keyed = Keyed(order.mix.seed)
        self._store = store
        self._order = order
        self._listing = listing
        self._plan = plan
        self._on_tokens = on_tokens
        self._outputs = OutputReader(Location.parse(order.dataset), keyed)
        self._original = OriginalReader(listing.files.root, order.mix.source, keyed)

    def make(self, counter: TokenCounter) -> None:
        """Write the shard, and its manifest last. Raises WorkerError."""
        with scratch("mix", _disk_full) as folder:
            manifest = self._write(folder, counter)
        self._store.create(layout.mix_manifest(self._plan.shard), manifest.to_json().encode())

    def finished(self) -> MixManifest | None:
        """The shard's manifest, if it is finished. Raises WorkerError(ACCOUNT_MISMATCH)."""
        try:
            return read_mix_manifest(self._store, layout.mix_manifest(self._plan.shard))
        except FileNotFoundError:
            return None

    def _write(self, folder: Path, counter: TokenCounter) -> MixManifest:
        mix = self._order.mix
        log.info(
            "mixing shard=%d outputs=%d",
            self._plan.shard,
            sum(run.end - run.start for run in self._plan.outputs),
        )
        with Spool(folder / "outputs") as outputs:
            for batch in self._outputs.batches(self._plan.outputs):
                self._keep(outputs, batch, counter)
        tokens = {name: int(outputs.tokens[outputs.of_prompt(name)].sum()) for name in mix.share}
        wanted = quotas.scale_of_outputs(tokens, mix.share, self._plan.tokens, mix.max_repetitions)
        needed = original_needed(tokens, mix.share)
        log.info("reading original documents wanted_tokens=%d", wanted.factor * needed)
        with Spool(folder / "original") as original:
            self._read_original(original, wanted.factor * needed, counter)
        there = int(original.tokens.sum())
        possible = quotas.scale_for_original(wanted, needed, there, mix.max_repetitions)
        used = self._outputs_used(outputs, tokens, possible.factor)
        added = self._original_used(original, outputs, used, there)
        target = folder / "shard.parquet"
        log.info("writing rows=%d", used.sum() + added.sum())
        write_shuffled([(outputs, used), (original, added)], target, folder)
        path = layout.mix_file(self._plan.shard)
        self._store.create_from_file(path, target)
        self._store.fetch(path, target)  # The account is that of the file that is there.
        return MixManifest(
            order_hash=self._order.hash,
            shard=self._plan.shard,
            bytes=target.stat().st_size,
            short_outputs=wanted.limited,
            short_original=possible.limited,
            **self._figures(target, outputs, original),
        )

    def _keep(self, spool: Spool, batch: Batch, counter: TokenCounter) -> None:
        tokens = counter.count(batch.texts)
        spool.add(batch, tokens)
        self._on_tokens(sum(tokens))

    def _read_original(self, spool: Spool, wanted: float, counter: TokenCounter) -> None:
        """Read the blocks that should have as many tokens, and then more until they come close."""
        blocks = self._plan.original
        documents = np.cumsum([block.documents for block in blocks])
        first = 1 + int(np.searchsorted(documents, wanted / max(1.0, self._listing.tokens_per_document)))
        for group in _groups(blocks, first):
            for batch in self._original.batches(group):
                self._keep(spool, batch, counter)
            if spool.tokens.sum() >= wanted and _is_near(spool, wanted):
                return

    def _outputs_used(self, spool: Spool, tokens: Mapping[str, int], factor: float) -> Counts:
        times = np.zeros(len(spool.keys), dtype=np.int64)
        for name, there in tokens.items():
            rows = spool.of_prompt(name)
            times[rows] = quotas.times_used(spool.keys[rows], spool.tokens[rows], factor * there)
        return times

    def _original_used(self, original: Spool, outputs: Spool, used: Counts, there: int) -> Counts:
        """What matches the outputs that are used, by their exact tokens."""
        tokens = outputs.tokens * used
        matching = original_needed(
            {name: int(tokens[outputs.of_prompt(name)].sum()) for name in self._order.mix.share},
            self._order.mix.share,
        )
        most = float(there * self._order.mix.max_repetitions)
        return quotas.times_used(original.keys, original.tokens, min(matching, most))

    def _figures(self, path: Path, outputs: Spool, original: Spool) -> dict[str, Any]:
        """Counts of the committed file, and of what was read and is not in it."""
        table = pq.read_table(path, columns=["kind", "prompt", "tokens", "repetition"])
        repetition = table.column("repetition").to_numpy()
        prompts = {}
        for name in self._order.mix.share:
            written = _written(table.filter(pc.equal(table.column("prompt"), name)))
            error, empty = self._outputs.errors[name], self._outputs.empty[name]
            read = int(outputs.of_prompt(name).sum())
            planned = sum(run.end - run.start for run in self._plan.outputs if run.prompt == name)
            if read + error + empty != planned:
                raise WorkerError(
                    Reason.ACCOUNT_MISMATCH,
                    f"{read + error + empty} rows of prompt {name} were read, and {planned} were planned.",
                )
            unused = read - written["used"]
            prompts[name] = MixedOutputs(**written, error=error, empty=empty, unused=unused)
        written = _written(table.filter(pc.equal(table.column("kind"), "original")))
        return {
            "prompts": prompts,
            "original": MixedOriginal(
                **written,
                unusable=self._original.errors.total(),
                errors=dict(sorted(self._original.errors.items())),
                unused=len(original.keys) - written["used"],
            ),
            "most_repetitions": int(repetition.max(initial=-1)) + 1,
        }


def _groups(blocks: Sequence[OriginalBlock], first: int) -> Iterator[Sequence[OriginalBlock]]:
    """The first blocks, and then twice as many more each time: a compressed file is read for each group."""
    start, size = 0, first
    while start < len(blocks):
        yield blocks[start : start + size]
        start, size = start + size, 1 if start == 0 else 2 * size


def _is_near(spool: Spool, wanted: float) -> bool:
    used = (quotas.times_used(spool.keys, spool.tokens, wanted) * spool.tokens).sum()
    return abs(int(used) - wanted) <= _NEAR * wanted


def _written(rows: pa.Table) -> dict[str, int]:
    return {
        "used": int(pc.sum(pc.equal(rows.column("repetition"), 0)).as_py() or 0),
        "rows": rows.num_rows,
        "tokens": int(pc.sum(rows.column("tokens")).as_py() or 0),
    }


def _disk_full(error: OSError) -> str:
    return (
        f"The shard can't be mixed in {tempfile.gettempdir()}: {error}. Mixing needs about three "
        "times the size of its text there: give the pods more scratch space, or ask for more shards."
    )
