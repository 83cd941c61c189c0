"""Reads a dataset's plan, manifests and final files, a window of shards at a time, and gathers what is wrong.

Memory holds the keys of the shards that are being read, and a number for each file of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from rephrase_worker import layout
from rephrase_worker.bookkeeping import (
    read_account,
    read_listing,
    read_manifest,
    read_plan,
    read_recipe,
    read_shard,
)
from rephrase_worker.clock import MonotonicClock
from rephrase_worker.manifests import Account, Manifest
from rephrase_worker.plan import Plan, ShardPlan
from rephrase_worker.samples import sample_schema
from rephrase_worker.source.opened import BrokenFileError
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import Reason, Recipe, WorkerError
from rephrase_worker.store import Patience, Store
from rephrase_worker.store.parallel import in_order
from rephrase_worker.verify import files, mixed, positions, shards
from rephrase_worker.verify.accounts import Recount, account_faults
from rephrase_worker.verify.faults import (
    FAULTS_KEPT,
    Depth,
    Fault,
    FaultKind,
    Outcome,
    Verification,
    redo,
)
from rephrase_worker.verify.files import FileFigures
from rephrase_worker.verify.mixed import MixCheck
from rephrase_worker.verify.plans import PlanCheck

PATIENCE_SECONDS = 60.0
"""For a store that fails: a person waits."""

_COPY = "Copy it again from where the dataset was made."


@dataclass(frozen=True)
class Progress:
    """How far a recount has come."""

    shards: int
    done: int
    rows: int
    faults: int


@dataclass
class _Shard:
    """What was read of a shard."""

    number: int
    plan: ShardPlan | None = None
    manifest: Manifest | None = None
    files: dict[str, FileFigures] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def verify(
    uri: str,
    *,
    depth: Depth = Depth.ROWS,
    source: bool = False,
    threads: int = 8,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Verification:
    """Recounts the dataset at `uri`. With `source`, reads the source again too and compares positions.

    Raises WorkerError when there is no dataset, or the store or the source can't be read.
    """
    store = Store(uri, patience=Patience(MonotonicClock(), outage_seconds=PATIENCE_SECONDS))
    if not store.exists(layout.PLAN) and not store.exists(layout.RECIPE):
        raise WorkerError(
            Reason.PLAN_MISSING,
            f"{store.uri} holds no dataset of this software: {layout.RECIPE} and {layout.PLAN} are not "
            "there. Give the folder that a job's spec.output.uri names, or a whole copy of it.",
        )
    try:
        recipe, plan, listing = read_recipe(store), read_plan(store), read_listing(store)
    except WorkerError as error:
        if error.failure.reason is not Reason.PLAN_MISSING:
            raise
        fault = Fault(kind=FaultKind.PLAN, where=layout.BOOKKEEPING, what=error.failure.message, remedy=_COPY)
        return _verdict(store.uri, depth, [fault])
    return _Verifier(store, recipe, plan, PlanCheck(recipe, plan, listing), depth, source).run(
        threads, on_progress
    )


class _Verifier:
    """One recount."""

    def __init__(
        self, store: Store, recipe: Recipe, plan: Plan, check: PlanCheck, depth: Depth, source: bool
    ) -> None:
        self._store = store
        self._recipe = recipe
        self._plan = plan
        self._check = check
        self._depth = depth
        self._source = source
        self._sizes: Mapping[str, int] = {}
        self._manifests: frozenset[str] = frozenset()

    def run(self, threads: int, on_progress: Callable[[Progress], None]) -> Verification:
        """Recounts everything."""
        faults = list(self._check.summary())
        account = self._account(faults)
        faults += self._list()
        recount = Recount.of(self._recipe)
        count = len(faults)
        rows = files_read = 0
        for done, shard in enumerate(in_order(threads, self._shard, range(self._plan.shards)), 1):
            found = [*self._plan_faults(shard), *shard.faults]
            count += len(found)
            faults += found[: max(0, FAULTS_KEPT - len(faults))]
            files_read += len(shard.files)
            rows += sum(figures.rows for figures in shard.files.values())
            self._add(recount, shard)
            on_progress(Progress(self._plan.shards, done, rows, count))
        recounted = recount.account(self._recipe, self._plan)
        mix = mixed.check(self._store, self._depth, threads)
        last = [*self._check.end(), *account_faults(recounted, self._plan, account), *mix.faults]
        return _verdict(
            self._store.uri,
            self._depth,
            [*faults, *last],
            recounted=recounted,
            fault_count=count + len(last),
            finalized=account is not None,
            mix=mix,
            source_read=self._source,
            rows=rows,
            files=files_read,
        )

    def _account(self, faults: list[Fault]) -> Account | None:
        try:
            return read_account(self._store)
        except FileNotFoundError:
            return None
        except WorkerError as error:
            if error.failure.reason is not Reason.ACCOUNT_MISMATCH:
                raise
            what = error.failure.message
            faults.append(Fault(kind=FaultKind.ACCOUNT, where=layout.ACCOUNT, what=what, remedy=_COPY))
            return None

    def _list(self) -> Iterator[Fault]:
        """Lists the folders once. Names the files that are none of the dataset's."""
        sizes: dict[str, int] = {}
        for prompt in self._recipe.prompts:
            there = self._store.sizes(prompt.name)
            wanted = {layout.sample_file(prompt.name, shard) for shard in range(self._plan.shards)}
            yield from _foreign([*(there.keys() - wanted), *self._store.folders(prompt.name)])
            sizes |= there
        self._sizes = sizes
        self._manifests = frozenset(self._store.list(layout.MANIFESTS))
        yield from _foreign(self._manifests - set(map(layout.manifest, range(self._plan.shards))))

    def _shard(self, number: int) -> _Shard:
        """Reads one shard. Runs in a thread."""
        shard = _Shard(number)
        try:
            shard.plan = read_shard(self._store, number)
            if layout.manifest(number) in self._manifests:
                shard.manifest = read_manifest(self._store, layout.manifest(number))
        except WorkerError as error:
            if error.failure.reason not in (Reason.PLAN_MISSING, Reason.ACCOUNT_MISMATCH):
                raise
            planned = error.failure.reason is Reason.PLAN_MISSING
            shard.faults.append(
                Fault(
                    kind=FaultKind.PLAN if planned else FaultKind.MANIFEST,
                    where=layout.shard_plan(number) if planned else layout.manifest(number),
                    what=error.failure.message,
                    remedy=_COPY,
                )
            )
            return shard
        try:
            sample_schema(shard.plan.columns)
        except (ValueError, LookupError, OSError, pa.ArrowException) as error:
            what = f"the types of its carried columns can't be read: {error}"
            shard.plan = None
            shard.faults.append(
                Fault(kind=FaultKind.PLAN, where=layout.shard_plan(number), what=what, remedy=_COPY)
            )
            return shard
        if shard.manifest is not None:
            self._read_files(shard, shard.plan, shard.manifest)
        return shard

    def _read_files(self, shard: _Shard, plan: ShardPlan, manifest: Manifest) -> None:
        shard.faults += shards.manifest_faults(self._recipe, plan, manifest)
        numbers = positions.file_numbers(plan)
        for prompt in self._recipe.prompts:
            path = layout.sample_file(prompt.name, plan.shard)
            figures = self._figures(path, numbers)
            if isinstance(figures, str):
                missing = path not in self._sizes
                kind = FaultKind.FILE_MISSING if missing else FaultKind.FILE_DAMAGED
                shard.faults.append(Fault(kind=kind, where=path, what=figures, remedy=redo(plan.shard)))
                continue
            shard.files[prompt.name] = figures
            shard.faults += shards.file_faults(self._recipe, prompt, plan, manifest, figures, self._depth)
        source = None
        if self._source:
            documents = ShardReader(plan, self._recipe.source).run()
            found = [(d.metadata["source_file"], d.metadata["source_position"]) for d in documents]
            source = positions.from_source(found, plan)
        shard.faults += shards.key_faults(self._recipe, plan, manifest, shard.files, source)
        for figures in shard.files.values():
            figures.keys = None  # Results wait in the window; their keys need not.

    def _figures(self, path: str, numbers: Mapping[str, int]) -> FileFigures | str:
        """What a file holds, or why that can't be told."""
        if path not in self._sizes:
            return "it is not there, though its shard has a manifest"
        try:
            figures = files.read(self._store, path, self._sizes[path], self._depth, numbers)
        except FileNotFoundError:
            return "it was removed while it was about to be read"
        if isinstance(figures, BrokenFileError):
            return f"its {self._sizes[path]:,} bytes can't be decoded: {figures}"
        return figures

    def _plan_faults(self, shard: _Shard) -> Iterable[Fault]:
        if shard.plan is None:
            self._check.unreadable()
            return ()
        return self._check.shard(shard.number, shard.plan)

    def _add(self, recount: Recount, shard: _Shard) -> None:
        if shard.manifest is not None:
            recount.finished(shard.manifest)
            return
        recount.missing(shard.number, shard.plan.documents if shard.plan is not None else 0)
        for prompt in self._recipe.prompts:
            if layout.sample_file(prompt.name, shard.number) in self._sizes:
                recount.unfinished.setdefault(prompt.name, []).append(shard.number)


def _foreign(paths: Iterable[str]) -> Iterator[Fault]:
    for path in sorted(paths):
        yield Fault(
            kind=FaultKind.FILE_FOREIGN,
            where=path,
            what="it is none of the dataset's files, and readers of the folder would read it too",
            remedy="Move it out of the folder.",
        )


def _verdict(
    uri: str,
    depth: Depth,
    faults: list[Fault],
    *,
    recounted: Account | None = None,
    fault_count: int | None = None,
    finalized: bool = False,
    mix: MixCheck | None = None,
    source_read: bool = False,
    rows: int = 0,
    files: int = 0,
) -> Verification:
    totals = [] if recounted is None else list(recounted.prompts.values())
    mix = mix or MixCheck()
    incomplete = not finalized or not mix.finished or (recounted is not None and recounted.missing_shards > 0)
    outcome = Outcome.INCOMPLETE if incomplete else Outcome.COMPLETE
    return Verification(
        dataset=uri,
        depth=depth.value,
        outcome=Outcome.FAULTY if faults else outcome,
        source_read=source_read,
        shards=recounted.shards if recounted else 0,
        shards_finished=recounted.shards - recounted.missing_shards if recounted else 0,
        missing_shards=recounted.missing_shard_numbers if recounted else "",
        finalized=finalized,
        mix_shards=mix.shards,
        mix_shards_finished=mix.done,
        mix_rows=mix.rows,
        files=files,
        rows=rows,
        documents=recounted.documents if recounted else 0,
        planned=sum(prompt.planned for prompt in totals),
        text=sum(prompt.text for prompt in totals),
        error=sum(prompt.error for prompt in totals),
        filtered=sum(prompt.filtered for prompt in totals),
        missing=sum(prompt.missing for prompt in totals),
        output_tokens=sum(prompt.output_tokens for prompt in totals),
        fault_count=fault_count if fault_count is not None else len(faults),
        faults=faults[:FAULTS_KEPT],
    )
