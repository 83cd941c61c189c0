"""Ranges of a listed source: which files are used, how much of each, and where a file can be cut."""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_worker.plan import Range, SourceFile, SourceListing


@dataclass(frozen=True, slots=True)
class Take:
    """How much of a file the job uses. `limit` is set where `maxDocuments` cuts the file short."""

    file: SourceFile
    documents: int
    limit: int | None = None

    @property
    def exact(self) -> bool:
        """Whether `documents` is what reading will find."""
        return self.file.documents_exact


def takes(listing: SourceListing, max_documents: int | None) -> list[Take]:
    """How much is used of each file, for at most about `max_documents` in all.

    Files known to be empty have no position and are left out.
    """
    taken = []
    left = max_documents
    for file in listing.files:
        if left is not None and left <= 0:
            break
        if file.documents == 0:
            continue
        if left is not None and (
            file.documents > left or (file.documents == left and not file.documents_exact)
        ):
            taken.append(Take(file, left, limit=left))
            left = 0
        else:
            taken.append(Take(file, file.documents))
            left = None if left is None else left - file.documents
    return taken


def range_of(take: Take, done: int, documents: int) -> tuple[Range, bool]:
    """The range of `documents` documents after the first `done`, and whether it holds exactly that many."""
    file = take.file
    last = done + documents == take.documents
    if file.format == "parquet":
        return Range(file=file, start=done, end=done + documents), True
    if file.compression is not None:
        return Range(file=file, start=0, end=None, max_documents=take.limit), take.exact
    whole = done == 0 and last
    # If maxDocuments cuts the file, the last range may read on to the end of the file to find its documents.
    end = file.size if last else _offset(file, done + documents)
    limit = documents if last and take.limit is not None else None
    return Range(file=file, start=_offset(file, done), end=end, max_documents=limit), whole and take.exact


def _offset(file: SourceFile, documents: int) -> int:
    """The byte before which there are about this many documents."""
    return file.size * documents // file.documents
