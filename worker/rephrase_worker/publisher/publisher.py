"""Copies a finished dataset to its repository, and proves that all of it arrived.

Every file keeps its path, so the repository can be verified and read like the destination. Files are fetched
group by group to the pod's disk. What the Hub has already is not sent again, so publishing can be killed at
any point, run again or run twice at once. The dataset card comes last: the Hub shows the dataset when it is
whole.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence

from huggingface_hub.utils.tqdm import disable_progress_bars

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_account
from rephrase_worker.clock import Clock, MonotonicClock
from rephrase_worker.manifests import Account
from rephrase_worker.publisher.batches import BYTES_A_COMMIT, batches
from rephrase_worker.publisher.repository import Content, Repository
from rephrase_worker.spec import MIX_FOLDER, Publish, PublishReport, Reason, Recipe, WorkerError
from rephrase_worker.store import Patience, Store, StoredFile
from rephrase_worker.store.parallel import in_parallel
from rephrase_worker.store.scratch import scratch

_FETCHES = 8

Progress = Callable[[int, int], None]
"""Is told how many files are in the repository, and how many there will be."""

log = logging.getLogger(__name__)


def publish(
    recipe: Recipe,
    to: Publish,
    *,
    incomplete: bool = False,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> PublishReport:
    """Publish the recipe's dataset, or what is not published of it yet.

    `incomplete` also takes a dataset with shards missing. Raises WorkerError: PLAN_MISSING when the job is
    not finalized, DATASET_INCOMPLETE, REPOSITORY_REFUSED, and INTERNAL when the Hub or the store fails for
    too long.
    """
    disable_progress_bars()  # A bar a file would fill the log.
    clock = clock or MonotonicClock()
    store = Store(recipe.output.uri, patience=Patience(clock))
    account = _account(store)
    if account.missing_shards and not incomplete:
        raise WorkerError(
            Reason.DATASET_INCOMPLETE,
            f"{store.uri} is not complete: the shards {account.missing_shard_numbers} are missing. Finish "
            "them, or publish what is there with --incomplete.",
        )
    files = _files(store, recipe)
    repository = Repository(to, clock)
    repository.claim(store.read(layout.RECIPE))
    contents = _copy(store, files, repository, progress)
    _prove(repository, contents, recipe)
    return PublishReport(
        repository=to.repository,
        revision=repository.head(),
        files=len(contents),
        bytes=sum(content.size for content in contents.values()),
        commits=repository.commits,
    )


def _account(store: Store) -> Account:
    try:
        return read_account(store)
    except FileNotFoundError as error:
        raise WorkerError(
            Reason.DATASET_INCOMPLETE,
            f"There is no account: {store.uri}/{layout.ACCOUNT} is not there. Finalizing writes it when the "
            "job's shards are finished.",
        ) from error


def _files(store: Store, recipe: Recipe) -> list[StoredFile]:
    """The dataset's files: samples and a whole mix, then bookkeeping, then the card."""
    mix = [MIX_FOLDER] if store.exists(layout.MIX_ACCOUNT) else []
    folders = [*(prompt.name for prompt in recipe.prompts), *mix, layout.BOOKKEEPING]
    found = [file for folder in folders for file in store.tree(folder) if not _passing(file.path)]
    return [*found, StoredFile(layout.CARD, store.size(layout.CARD))]


def _passing(path: str) -> bool:
    """Work in progress, which is no part of the dataset."""
    return path.startswith((f"{layout.SEGMENTS}/", f"{layout.PROBES}/"))


def _copy(
    store: Store, files: Sequence[StoredFile], repository: Repository, progress: Progress | None
) -> dict[str, Content]:
    """Commit the files group by group. Returns what each of them holds."""
    contents: dict[str, Content] = {}
    for number, group in enumerate(batches(files), start=1):
        with scratch("publish", _disk_full) as folder:
            paths = [file.path for file in group]
            copies = [folder / str(index) for index in range(len(group))]
            in_parallel(_FETCHES, store.fetch, paths, copies)
            contents |= zip(paths, in_parallel(_FETCHES, Content.of_file, copies), strict=True)
            repository.commit(dict(zip(paths, copies, strict=True)), _subject(paths))
        size = sum(content.size for content in contents.values())
        log.info(
            "group=%d files=%d/%d bytes=%d repository=%s",
            number,
            len(contents),
            len(files),
            size,
            repository.name,
        )
        if progress is not None:
            progress(len(contents), len(files))
    return contents


def _subject(paths: Sequence[str]) -> str:
    return f"Add {paths[0]}" + (f" and {len(paths) - 1} more files" if len(paths) > 1 else "")


def _prove(repository: Repository, contents: dict[str, Content], recipe: Recipe) -> None:
    """Make sure that the repository holds exactly these files where the dataset lies."""
    there = repository.files()
    for path, content in contents.items():
        if (found := there.get(path)) is None or not found.holds(content):
            problem = "is not there" if found is None else "holds something else"
            raise WorkerError(
                Reason.INTERNAL,
                f"{path} {problem} in {repository.name} after it was committed: somebody else writes to the "
                "repository. It will be tried again.",
            )
    names = [prompt.name for prompt in recipe.prompts]
    folders = tuple(f"{folder}/" for folder in (*names, MIX_FOLDER, layout.BOOKKEEPING))
    if foreign := sorted(path for path in there.keys() - contents.keys() if path.startswith(folders)):
        raise WorkerError(
            Reason.REPOSITORY_REFUSED,
            f"{repository.name} holds {foreign[0]}, which is none of the dataset's files but would be read "
            "as one. Remove it there, and publish again.",
        )


def _disk_full(_: OSError) -> str:
    return (
        f"{tempfile.gettempdir()} is full: publishing needs {BYTES_A_COMMIT // 2**30} GiB there, "
        "or the size of the largest file if that is more. What is published is kept; give the pod "
        "more scratch space."
    )
