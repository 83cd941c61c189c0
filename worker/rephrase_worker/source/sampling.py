"""A sample of a source's documents, spread over all of it: what estimates are made from.

The same listing gives the same sample. It costs a bounded number of reads, because an object store charges
for each of them, and a bounded time: places that were not read by then are left out, and since they are
visited in a random order what was read is still spread over the whole source.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from rephrase_worker.clock import Clock
from rephrase_worker.plan import Range, SourceListing
from rephrase_worker.source import jsonl, parquet
from rephrase_worker.source.cutting import Take, takes
from rephrase_worker.source.fields import Fields
from rephrase_worker.source.files import open_location
from rephrase_worker.source.opened import BrokenFileError, UnreachableFileError, WatchedFile, watched
from rephrase_worker.source.row import Row
from rephrase_worker.spec import Source
from rephrase_worker.store.location import Location

PLACES = 64
"""Places of the source that are read. Each is a file that is opened, and a few requests to a store."""

SECONDS = 60.0
"""No place is visited after this long."""

_BYTES = 64 << 20
"""Most of the source that is sampled, by the mean size of a document: they can be whole books."""

_FEWEST = 16
"""Documents that are sampled however large they are."""

_STRIDE = 50
"""Of a large compressed file, which can only be read from its start, one of up to this many documents is
taken."""

_INTO_GROUP = 256
"""Most rows that are passed over in a row group, which is decoded from its start and can be gigabytes."""

_THREADS = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read, and how much."""

    take: Take
    start: int
    """Documents of the file before it, about."""
    documents: int
    stride: int = 1
    """Every how manieth document is taken."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at a place."""

    place: Place
    rows: list[Row]
    """Those with a text."""
    unusable: int
    """Documents without a text."""
    bytes_per_document: float | None
    """In plain JSONL, where positions are bytes."""

    @property
    def documents(self) -> int:
        """All that was found."""
        return len(self.rows) + self.unusable


@dataclass(frozen=True, slots=True)
class Sample:
    """The sample."""

    taken: list[Take]
    """What the job uses of the source."""
    looks: list[Look] = field(default_factory=list)
    unreadable: int = 0
    """Places that could not be read."""
    whole: bool = False
    """Every document is in it, so nothing is uncertain."""


def sample(
    listing: SourceListing, source: Source, placeholders: Sequence[str], most: int, clock: Clock
) -> Sample:
    """About `most` documents of a listed source, or all of them if it has no more.

    `placeholders` are the columns that prompts need. A place that can't be read is counted and logged: its
    shard will report the error if it stays.
    """
    taken = takes(listing, source.max_documents)
    wanted, everything = places(taken, most)
    root, fields = open_location(listing.root), Fields(placeholders)
    began = clock.now()
    order = random.Random(0).sample(range(len(wanted)), len(wanted))  # noqa: S311, it decides no secret
    found: dict[int, Look] = {}
    unreadable = 0
    with ThreadPoolExecutor(min(_THREADS, max(1, len(wanted)))) as pool:
        pending = {number: pool.submit(_look, root, wanted[number], source, fields) for number in order}
        for number, future in pending.items():
            if clock.now() - began > SECONDS and found:
                log.warning("sampling: %d of %d places after %.0f s", len(found), len(wanted), SECONDS)
                break
            try:
                found[number] = future.result()
            except (BrokenFileError, UnreachableFileError) as error:
                unreadable += 1
                log.warning("sampling: %s can't be read: %s", wanted[number].take.file.path, error)
        for future in pending.values():
            future.cancel()
    return Sample(
        taken=taken,
        looks=[found[number] for number in sorted(found)],
        unreadable=unreadable,
        whole=everything and len(found) == len(wanted) and all(take.exact for take in taken),
    )


def places(taken: Sequence[Take], most: int) -> tuple[list[Place], bool]:
    """Where to read about `most` documents, and whether that is the whole source.

    The source is divided into equal parts, and a place in each of them is chosen at random, from a fixed
    seed.
    """
    total = sum(take.documents for take in taken)
    size = sum(take.file.size * take.documents // take.file.documents for take in taken)
    most = min(most, max(_FEWEST, _BYTES * total // max(1, size)))
    if total <= most:
        return [Place(take, 0, take.documents) for take in taken], True
    count = min(PLACES, most)
    each = -(-most // count)
    rng = random.Random(0)  # noqa: S311, it decides no secret
    chosen = [(part * total + rng.randrange(total)) // count for part in range(count)]
    found: list[Place] = []
    before = 0
    for take in taken:
        inside = [number - before for number in chosen if before <= number < before + take.documents]
        before += take.documents
        if _is_read_through(take) and inside:
            documents = min(take.documents, each * len(inside))
            stride = take.documents // documents
            found.append(Place(take, 0, documents, stride if take.exact else min(_STRIDE, stride)))
        else:
            found += [Place(take, start, each) for start in inside]
    return found, False


def _is_read_through(take: Take) -> bool:
    """Whether every so manieth document is taken of the file from its start on.

    A compressed file can't be read otherwise. A small JSONL file, which planning has counted, could, but by
    bytes alone: where its long documents lie together, too many of them would be taken.
    """
    return take.file.format == "jsonl" and (take.file.compression is not None or take.exact)


def _look(root: Location, place: Place, source: Source, fields: Fields) -> Look:
    """Raises BrokenFileError and UnreachableFileError."""
    file = place.take.file
    with watched(root / file.path, file.size, ahead=_is_read_through(place.take)) as content:
        rows = list(
            islice(_rows(content, place, source, fields), 0, place.documents * place.stride, place.stride)
        )
    span = None
    if file.format == "jsonl" and not _is_read_through(place.take) and len(rows) > 1:
        span = (rows[-1].position - rows[0].position) / (len(rows) - 1)
    return Look(
        place=place,
        rows=[row for row in rows if row.error is None],
        unusable=sum(row.error is not None for row in rows),
        bytes_per_document=span,
    )


def _rows(content: WatchedFile, place: Place, source: Source, fields: Fields) -> Iterator[Row]:
    file = place.take.file
    if file.compression is not None:
        return jsonl.compressed_rows(content, file.compression, source, fields)
    if file.format == "jsonl":
        start = file.size * place.start // file.documents
        return jsonl.plain_rows(content, Range(file=file, start=start), source, fields)
    start = _near_group(content, place.start)
    content.seek(0)
    return parquet.rows(content, Range(file=file, start=start, end=start + place.documents), source, fields)


def _near_group(content: WatchedFile, row: int) -> int:
    """The row, or an earlier one that is not far from the start of its row group."""
    metadata = parquet.open_parquet(content).metadata
    first = 0
    for group in range(metadata.num_row_groups):
        last = first + metadata.row_group(group).num_rows
        if row < last:
            return min(row, first + (row - first) % _INTO_GROUP)
        first = last
    return row
