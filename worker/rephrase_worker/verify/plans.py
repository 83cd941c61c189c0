"""Whether the plans of the shards make up the source: every position in exactly one shard. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rephrase_worker import layout
from rephrase_worker.plan import Plan, Range, ShardPlan, SourceFile, SourceListing
from rephrase_worker.spec import Recipe
from rephrase_worker.verify.faults import Fault, FaultKind

_REMEDY = (
    "Something has changed the frozen plan since. Copy _rephrase/plan again from where the dataset was made."
)


class PlanCheck:
    """Takes the plans of the shards in their order, and remembers how far they cover each file."""

    def __init__(self, recipe: Recipe, plan: Plan, listing: SourceListing) -> None:
        self._recipe = recipe
        self._plan = plan
        self._listing = listing
        self._files = {file.path: file for file in listing.files}
        self._covered: dict[str, int | None] = {}
        """Where the next range of a file has to start; None after a range that goes to the file's end."""
        self._documents = 0
        self._whole = True
        """No plan of a shard is missing or contradicts the listing, so that sums mean something."""

    def summary(self) -> Iterator[Fault]:
        """Faults of the plan's summary alone."""
        if self._plan.recipe_hash != self._recipe.hash:
            yield Fault(
                kind=FaultKind.RECIPE,
                where=layout.RECIPE,
                what=f"the recipe's hash is {self._recipe.hash}, and the plan was made for "
                f"{self._plan.recipe_hash}",
                remedy="Copy _rephrase/recipe.json again from where the dataset was made.",
            )
        size = sum(file.size for file in self._listing.files)
        for name, mine, listed in (
            ("columns", self._plan.columns, self._listing.columns),
            ("files", self._plan.files, len(self._listing.files)),
            ("bytes", self._plan.bytes, size),
            ("source revision", self._plan.source_revision, self._listing.revision),
            ("model revision", self._plan.model_revision, self._listing.model_revision),
        ):
            if mine != listed:
                yield _fault(layout.PLAN, f"{name}: {mine}, and the listing of the source has {listed}")

    def unreadable(self) -> None:
        """A plan of a shard could not be read, which is a fault of its own."""
        self._whole = False

    def shard(self, number: int, shard: ShardPlan) -> Iterator[Fault]:
        """Faults of the next shard."""
        where = layout.shard_plan(number)
        if shard.shard != number or shard.root != self._listing.root:
            self._whole = False
            yield _fault(where, f"it is the plan of shard {shard.shard} of {shard.root}")
            return
        if shard.columns != self._plan.columns:
            yield _fault(where, "its carried columns are not the plan's")
        if shard.model_revision != self._plan.model_revision:
            yield _fault(where, f"its model revision is {shard.model_revision}, not the plan's")
        self._documents += shard.documents
        for range_ in shard.ranges:
            if (problem := self._cover(range_)) is not None:
                self._whole = False
                yield _fault(where, problem)
        rows = sum((range_.end or 0) - range_.start for range_ in shard.ranges)
        if all(range_.file.format == "parquet" for range_ in shard.ranges) and rows != shard.documents:
            yield _fault(where, f"its ranges have {rows} rows, and it plans {shard.documents} documents")

    def end(self) -> Iterator[Fault]:
        """Faults that show only when all shards were seen."""
        if not self._whole:
            return
        if self._documents != self._plan.documents:
            yield _fault(
                layout.PLAN,
                f"it plans {self._plan.documents} documents, and its shards {self._documents}",
            )
        if self._recipe.source.max_documents is not None:
            return
        for file in self._listing.files:
            covered = self._covered.get(file.path, 0)
            if covered is not None and covered < _length(file) and file.documents:
                yield _fault(
                    layout.PLAN,
                    f"no shard reads {file.path} from {_unit(file)} {covered} on, though it has "
                    f"{_length(file)}",
                )

    def _cover(self, range_: Range) -> str | None:
        """Notes a range. Returns what is wrong with it."""
        file = range_.file
        if self._files.get(file.path) != file:
            return f"{file.path} is described in another way than in the listing of the source"
        expected = self._covered.get(file.path, 0)
        if expected != range_.start:
            said = "its end" if expected is None else f"{_unit(file)} {expected}"
            return (
                f"it reads {file.path} from {_unit(file)} {range_.start} on, and the shards before it have "
                f"read to {said}"
            )
        self._covered[file.path] = range_.end
        if file.compression is None and (
            range_.end is None or not range_.start < range_.end <= _length(file)
        ):
            return f"its range of {file.path} ends at {range_.end}, and the file at {_length(file)}"
        return None


def _length(file: SourceFile) -> int:
    return file.documents if file.format == "parquet" else file.size


def _unit(file: SourceFile) -> str:
    return "row" if file.format == "parquet" else "byte"


def _fault(where: str, what: str) -> Fault:
    return Fault(kind=FaultKind.PLAN, where=where, what=what, remedy=_REMEDY)
