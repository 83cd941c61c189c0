"""The frozen listing: the source's files as they are now, after a look into each, and what is passed over."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rephrase_worker.columns import NOTHING, Wanted
from rephrase_worker.plan import SKIPPED_LISTED, Range, SkippedPath, SourceFile, SourceListing
from rephrase_worker.planner.columns import frozen_columns
from rephrase_worker.planner.model import pin_model
from rephrase_worker.planner.pinning import pin_dataset
from rephrase_worker.rendering.placeholders import placeholders
from rephrase_worker.source import inspection, names, parquet
from rephrase_worker.source.fields import Fields
from rephrase_worker.source.files import FoundFile, FoundFiles, find_files
from rephrase_worker.source.opened import BrokenFileError, UnreachableFileError, WatchedFile, watched
from rephrase_worker.spec import EngineSettings, Reason, Recipe, Source, WorkerError
from rephrase_worker.store.errors import planning_exit_code
from rephrase_worker.store.location import Location

_THREADS = 16
"""Files that are looked into at a time. Reading a footer is mostly waiting for the store."""

log = logging.getLogger(__name__)

_Looked = inspection.Inspected | inspection.NotDocumentsError


def list_source(recipe: Recipe, engine: EngineSettings | None) -> SourceListing:
    """The source's files, pinned; the model pinned with them, and its prompts tried.

    Raises WorkerError: those of `list_files`, and MODEL_NOT_FOUND.
    """
    wanted = Wanted(placeholders=placeholders(recipe.prompts), carried=tuple(recipe.output.columns))
    listing = list_files(recipe.source, wanted)
    model = pin_model(recipe, engine)
    return listing.model_copy(
        update={
            "model_revision": model.commit,
            "model_weights_bytes": model.weights_bytes,
            "model_asked": model.asked,
        }
    )


def list_files(source: Source, wanted: Wanted = NOTHING) -> SourceListing:
    """The files of any source, pinned, and the types of the carried columns.

    Raises WorkerError: SOURCE_NOT_FOUND, SOURCE_UNREADABLE, SOURCE_FORMAT, TEXT_FIELD_MISSING,
    COLUMN_MISSING.
    """
    uri, revision = pin_dataset(source)
    found = find_files(source, uri)
    _say(found.skipped)
    looks, metadata = _inspect_all(found, source, wanted)
    files = [look.file for look in looks]
    if not any(file.documents for file in files):
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND,
            f"The files that {source.uri} matches ({len(files)}) hold no documents.",
        )
    _say(metadata)
    columns = frozen_columns(looks, wanted)
    _prove(found.root, files, source, Fields(wanted.placeholders, columns))
    skipped = sorted([*found.skipped, *metadata], key=lambda one: one.path)
    return SourceListing(
        root=found.root.uri,
        revision=revision,
        files=files,
        skipped_files=len(skipped),
        skipped=skipped[:SKIPPED_LISTED],
        columns=columns,
    )


def _say(skipped: list[SkippedPath]) -> None:
    if skipped:
        log.warning("passed over in the source: %d: %s", len(skipped), names.summary(skipped, len(skipped)))


def _inspect_all(
    found: FoundFiles, source: Source, wanted: Wanted
) -> tuple[list[inspection.Inspected], list[SkippedPath]]:
    """Looks into all files at once. The error that is raised is that of the first bad file in order.

    JSON files of all kinds lie beside data. If other files hold documents, a JSON file that does not, and
    that does not even mention the text field, is passed over. Otherwise it is an error.
    """
    with ThreadPoolExecutor(min(_THREADS, len(found.files))) as pool:
        pending = [pool.submit(_inspect, found.root, file, source, wanted) for file in found.files]
        try:
            inspected: Sequence[_Looked] = [future.result() for future in pending]
        finally:
            for future in pending:
                future.cancel()
    looks = [one for one in inspected if isinstance(one, inspection.Inspected)]
    errors = [one for one in inspected if isinstance(one, inspection.NotDocumentsError)]
    if errors and not any(look.file.documents for look in looks):
        raise errors[0]
    metadata = [
        SkippedPath(path=file.path, reason=names.METADATA)
        for file, one in zip(found.files, inspected, strict=True)
        if isinstance(one, inspection.NotDocumentsError)
    ]
    return looks, metadata


def _inspect(root: Location, file: FoundFile, source: Source, wanted: Wanted) -> _Looked:
    """The file, or for JSON that may be anything the reason why it holds no documents."""
    try:
        with _opened(root, file) as content:
            return inspection.inspect(file, content, source, wanted)
    except inspection.NotDocumentsError as error:
        if file.asked_for or error.names_text or not names.may_be_metadata(file.path):
            raise
        return error


def _prove(root: Location, files: Sequence[SourceFile], source: Source, fields: Fields) -> None:
    """Reads a row of the first parquet file that has any, before GPUs are paid for.

    A footer can be read though columns are encrypted or compressed in a way that is not known here. One file
    is enough, because the files of a dataset are alike in this.
    """
    for file in files:
        if file.format == "parquet" and file.documents:
            with _opened(root, file) as content:
                next(parquet.rows(content, Range(file=file, start=0, end=1), source, fields), None)
            return


@contextmanager
def _opened(root: Location, file: FoundFile | SourceFile) -> Iterator[WatchedFile]:
    """The file, open; what goes wrong with it leaves as WorkerError."""
    location = root / file.path
    try:
        with watched(location, file.size) as content:
            yield content
    except BrokenFileError as error:
        what = f"decompressed as {file.compression}" if file.compression else f"read as {file.format}"
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"{file.path} can't be {what}, it may be cut off, damaged or encrypted ({error}). Replace it by "
            "a sound copy, or narrow source.uri down.",
        ) from error
    except UnreachableFileError as error:
        raise WorkerError(
            Reason.SOURCE_UNREADABLE,
            f"{location.uri} can't be read: {error}. Check the network and the worker's credentials.",
            exit_code=planning_exit_code(error.cause),
        ) from error
