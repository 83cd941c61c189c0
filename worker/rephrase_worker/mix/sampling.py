"""How large original data is, from a sample: it decides how much each shard of the mix gets to read."""

from __future__ import annotations

from itertools import islice

from rephrase_worker.mix.tokens import TokenCounter
from rephrase_worker.mixes import MixListing
from rephrase_worker.plan import ShardPlan, SourceListing
from rephrase_worker.source.cutting import Take, range_of, takes
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import Mix, Reason, WorkerError

_PLACES = 16
"""Places of the source that are looked into, evenly spread over it."""

_DOCUMENTS = 32
"""Documents that are read at each place."""


def sampled(files: SourceListing, mix: Mix, counter: TokenCounter) -> MixListing:
    """The listing with the size of its documents.

    Raises WorkerError: SOURCE_FORMAT when no document of the sample has a text, and those of `ShardReader`.
    """
    taken = takes(files, mix.source.max_documents)
    total = sum(take.documents for take in taken)
    texts: list[str] = []
    read = 0
    for take, done in _places(taken, total):
        ranges = [range_of(take, done, take.documents - done)[0]]
        plan = ShardPlan(shard=0, root=files.root, ranges=ranges, documents=0, documents_exact=False)
        for document in islice(ShardReader(plan, mix.source).run(), _DOCUMENTS):
            read += 1
            if "error" not in document.metadata:
                texts.append(document.text)
    if not texts:
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"None of {read} documents of {mix.source.uri} that were tried has a text in "
            f"{mix.source.text_field}. Set the source's textField to the column or key that holds the text.",
        )
    return MixListing(
        source=mix.source,
        files=files,
        documents=total,
        documents_exact=_exact(files, mix, taken),
        tokens_per_document=max(1.0, sum(counter.count(texts)) / read),
    )


def _places(taken: list[Take], total: int) -> list[tuple[Take, int]]:
    """Files with the number of documents to pass over in each. A compressed file is read from its start."""
    step = max(1, total // _PLACES)
    places, before = [], 0
    for take in taken:
        if take.file.compression is not None:
            places.append((take, 0))
        else:
            first = -before % step
            places += [(take, done) for done in range(first, take.documents, step)]
        before += take.documents
    return places[:: max(1, len(places) // _PLACES)]


def _exact(files: SourceListing, mix: Mix, taken: list[Take]) -> bool:
    if mix.source.max_documents is None:
        return all(file.documents_exact for file in files.files)
    return all(take.exact for take in taken)
