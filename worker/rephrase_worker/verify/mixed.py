"""Whether the mix of a dataset is what its own account says: files, rows by kind and prompt, and tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_mix_account, read_mix_manifest, read_mix_order, read_mix_plan
from rephrase_worker.mix.account import add_up
from rephrase_worker.mix.rows import SCHEMA
from rephrase_worker.mixes import MixAccount, MixManifest, MixOrder, MixPlan
from rephrase_worker.source.opened import BrokenFileError, UnreachableFileError, watched
from rephrase_worker.spec import MIX_FOLDER, Reason, WorkerError
from rephrase_worker.store import Store
from rephrase_worker.store.location import Location
from rephrase_worker.store.parallel import in_order
from rephrase_worker.verify.faults import Depth, Fault, FaultKind

_ORIGINAL = "original"
_NO_PROMPT = ""
"""What original documents are counted under: no prompt has this name."""

_IDENTITY = ["kind", "prompt", "source_file", "source_position", "rollout", "repetition"]
_REMEDY = (
    "Copy the mix again from where it was made. If it is like this there too, remove the folders mix and "
    "_rephrase/mix and mix again: `rephrase mix`."
)


@dataclass(frozen=True)
class MixFigures:
    """What a file of the mix holds."""

    schema: pa.Schema
    rows: int
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """(rows, tokens) by prompt, and of original documents; empty where only the footer was read."""
    repeated: int = 0
    """Rows that are there more than once with the same number of repetition."""


@dataclass
class MixCheck:
    """What was found of a mix."""

    shards: int = 0
    done: int = 0
    rows: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Every shard has its manifest."""
        return self.done == self.shards


def check(store: Store, depth: Depth, threads: int) -> MixCheck:
    """Recounts the mix, if there is one. Raises WorkerError when the store can't be read."""
    result = MixCheck()
    if not store.exists(layout.MIX_ORDER):
        return result
    try:
        order, plan, account = read_mix_order(store), read_mix_plan(store), read_mix_account(store)
        there = set(store.list(layout.MIX_MANIFESTS))
        paths = [path for shard in range(plan.shards) if (path := layout.mix_manifest(shard)) in there]
        manifests = list(in_order(threads, lambda path: read_mix_manifest(store, path), paths))
    except WorkerError as error:
        if error.failure.reason not in (Reason.PLAN_MISSING, Reason.ACCOUNT_MISMATCH):
            raise
        result.faults.append(_fault(FaultKind.PLAN, layout.MIX, error.failure.message))
        return result
    result.shards, result.done = plan.shards, len(manifests)
    sizes = store.sizes(MIX_FOLDER)
    wanted = {layout.mix_file(shard) for shard in range(plan.shards)}
    for path in sorted(sizes.keys() - wanted):
        result.faults.append(_fault(FaultKind.FILE_FOREIGN, path, "it is none of the files of the mix"))

    def examined(manifest: MixManifest) -> tuple[int, list[Fault]]:
        return _file(store, manifest, sizes, depth)

    for rows, faults in in_order(threads, examined, manifests):
        result.rows += rows
        result.faults += faults
    if result.finished:
        result.faults += account_faults(order, plan, manifests, account)
    return result


def account_faults(
    order: MixOrder, plan: MixPlan, manifests: Sequence[MixManifest], account: MixAccount | None
) -> Iterator[Fault]:
    """Where the account of the mix is not the sum of its shards. Pure."""
    try:
        recounted = add_up(order, plan, manifests)
    except WorkerError as error:
        yield _fault(FaultKind.ACCOUNT, layout.MIX_ACCOUNT, error.failure.message)
        return
    if account is None:
        yield _fault(FaultKind.ACCOUNT, layout.MIX_ACCOUNT, "it is not there, though every shard is finished")
        return
    said, found = account.model_dump(), recounted.model_dump()
    for name in said:
        if said[name] != found[name]:
            what = f"{name} is {said[name]!r}, and the manifests add up to {found[name]!r}"
            yield _fault(FaultKind.ACCOUNT, layout.MIX_ACCOUNT, what)


def file_faults(manifest: MixManifest, figures: MixFigures, size: int) -> Iterator[Fault]:
    """Where a file of the mix is not what its manifest says. Pure."""
    where = layout.mix_file(manifest.shard)
    said = {name: (part.rows, part.tokens) for name, part in manifest.prompts.items()}
    said[_NO_PROMPT] = (manifest.original.rows, manifest.original.tokens)
    rows = sum(rows for rows, _ in said.values())
    if not figures.schema.equals(SCHEMA):
        yield _fault(FaultKind.SCHEMA, where, "its columns are not those of a mix")
    if size != manifest.bytes:
        yield _fault(FaultKind.COUNTS, where, f"it has {size:,} bytes, and its manifest {manifest.bytes:,}")
    if figures.rows != rows:
        yield _fault(FaultKind.COUNTS, where, f"it has {figures.rows:,} rows, and its manifest {rows:,}")
    if figures.repeated:
        yield _fault(FaultKind.ROWS_REPEATED, where, f"{figures.repeated:,} rows are there again")
    for name in {**said, **figures.counts} if figures.counts else ():
        found, wanted = figures.counts.get(name, (0, 0)), said.get(name, (0, 0))
        if found != wanted:
            of_what = name or "the original data"
            what = f"of {of_what} it has {found[0]:,} rows and {found[1]:,} tokens, and its manifest "
            yield _fault(FaultKind.COUNTS, where, f"{what}{wanted[0]:,} and {wanted[1]:,}")


def _file(
    store: Store, manifest: MixManifest, sizes: Mapping[str, int], depth: Depth
) -> tuple[int, list[Fault]]:
    path = layout.mix_file(manifest.shard)
    if path not in sizes:
        return 0, [_fault(FaultKind.FILE_MISSING, path, "it is not there, though its shard has a manifest")]
    figures = store.examine(path, lambda location: _read(location, sizes[path], depth))
    if isinstance(figures, BrokenFileError):
        return 0, [_fault(FaultKind.FILE_DAMAGED, path, f"it can't be decoded: {figures}")]
    return figures.rows, list(file_faults(manifest, figures, sizes[path]))


def _read(location: Location, size: int, depth: Depth) -> MixFigures | BrokenFileError:
    try:
        with watched(location, size, ahead=False) as file:
            parquet = pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
            if depth is Depth.QUICK:
                return MixFigures(schema, rows)
            if missing := {*_IDENTITY, "tokens"} - set(schema.names):
                raise BrokenFileError(f"it has no column {min(missing)}")
            columns = schema.names if depth is Depth.CONTENT else [*_IDENTITY, "tokens"]
            return _figures(parquet.read(columns=columns, use_threads=False), schema)
    except UnreachableFileError as error:
        raise error.cause from error
    except BrokenFileError as error:
        return error


def _figures(table: pa.Table, schema: pa.Schema) -> MixFigures:
    groups = table.group_by("prompt").aggregate([("tokens", "count"), ("tokens", "sum")]).to_pylist()
    different = table.group_by(_IDENTITY).aggregate([]).num_rows
    counts = {
        _NO_PROMPT if group["prompt"] is None else group["prompt"]: (
            group["tokens_count"],
            group["tokens_sum"] or 0,
        )
        for group in groups
    }
    original = pc.equal(table.column("kind"), _ORIGINAL)
    if not original.equals(table.column("prompt").is_null()):
        raise BrokenFileError("some rows have a kind that contradicts their prompt")
    return MixFigures(schema, table.num_rows, counts, table.num_rows - different)


def _fault(kind: FaultKind, where: str, what: str) -> Fault:
    return Fault(kind=kind, where=where, what=what, remedy=_REMEDY)
