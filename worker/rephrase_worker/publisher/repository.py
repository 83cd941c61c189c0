"""A dataset repository of the Hub that belongs to one dataset.

It belongs to the dataset whose recipe lies in it: the first commit puts `_rephrase/recipe.json` there, just
as planning does at the destination. A repository with other content and without that file is never written
to.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from rephrase_worker import layout
from rephrase_worker.clock import Clock
from rephrase_worker.hub import Hub
from rephrase_worker.publisher.batches import Pace
from rephrase_worker.spec import Publish, Reason, WorkerError

_KIND = "dataset"
_HUBS_OWN = frozenset({".gitattributes"})
"""Files that the Hub itself puts into a new repository."""

_RACES = frozenset({409, 412})
"""Somebody else has committed meanwhile, or an earlier attempt at this commit of which the answer got
lost.
"""

PATIENCE_SECONDS = 2 * 3600.0
"""The Hub's limits are by the hour, and Retry-After can be that long."""

_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, by its digests. The Hub knows large files by SHA-256 and small ones by git's
    SHA-1.
    """

    size: int
    sha256: str
    blob: str

    @classmethod
    def of(cls, data: bytes) -> Content:
        """The content of a small file."""
        blob = hashlib.sha1(_git(len(data)) + data)  # noqa: S324 - git's own
        return cls(len(data), hashlib.sha256(data).hexdigest(), blob.hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """The content of a file, which is read in pieces."""
        size = path.stat().st_size
        large, small = hashlib.sha256(), hashlib.sha1(_git(size))  # noqa: S324 - git's own
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                large.update(piece)
                small.update(piece)
        return cls(size, large.hexdigest(), small.hexdigest())


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the repository, as the Hub lists it."""

    size: int
    sha256: str | None
    """Of large files."""
    blob: str

    def holds(self, content: Content) -> bool:
        """Whether it is this content."""
        same = self.blob == content.blob if self.sha256 is None else self.sha256 == content.sha256
        return self.size == content.size and same


class Repository:
    """The repository. Raises WorkerError(REPOSITORY_REFUSED) for whatever another attempt would not
    change.
    """

    def __init__(self, publish: Publish, clock: Clock, *, patience: float = PATIENCE_SECONDS) -> None:
        self.name = publish.repository
        self._private = publish.private
        self._api = HfApi()
        self._hub = Hub(
            f"{self.name} on the Hub",
            Reason.REPOSITORY_REFUSED,
            now=clock.now,
            sleep=lambda seconds: clock.wait(seconds, threading.Event()),
            patience=patience,
            passing=_RACES,
        )
        self._pace = Pace(clock)
        self.commits = 0

    def check(self, recipe: bytes | None) -> None:
        """Refuse a repository that can't be written to, or that holds anything but the dataset of this
        recipe.

        `recipe` is the content of the dataset's recipe file, None before there is one. Writes nothing.
        """
        if not os.environ.get("HF_TOKEN"):
            raise self._refused(
                "there is no token. Put one that may write to it into worker.env as HF_TOKEN, from a Secret"
            )
        self._hub.ask("the account", self._api.whoami)
        if not self._exists():
            return
        self._hub.ask(
            "permission to write", lambda: self._api.auth_check(self.name, repo_type=_KIND, write=True)
        )
        there = self.files()
        if (marker := there.get(layout.RECIPE)) is not None:
            if recipe is None or not marker.holds(Content.of(recipe)):
                raise self._refused(
                    "it holds the dataset of another job or recipe. Choose another repository, or remove "
                    "that one"
                )
        elif foreign := sorted(there.keys() - _HUBS_OWN):
            raise self._refused(
                f"it holds {foreign[0]}{_more(foreign)}, which this dataset does not. Choose another "
                "repository, or empty that one"
            )

    def claim(self, recipe: bytes) -> None:
        """Make the repository this dataset's own: create it, and put the recipe there. Safe to repeat."""
        self.check(recipe)
        self._hub.ask(
            "the right to create it",
            lambda: self._api.create_repo(self.name, repo_type=_KIND, private=self._private, exist_ok=True),
        )
        self.commit({layout.RECIPE: recipe}, "Add the recipe")
        self.check(recipe)  # Of two datasets that met an empty repository, one has lost.

    def files(self) -> dict[str, RemoteFile]:
        """All files at the head of the main branch, by path."""

        def listed() -> Sequence[object]:
            return list(self._api.list_repo_tree(self.name, repo_type=_KIND, recursive=True))

        return {
            entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
            for entry in self._hub.ask("the list of files", listed)
            if isinstance(entry, RepoFile)
        }

    def commit(self, files: Mapping[str, Path | bytes], message: str) -> None:
        """Commit the files, unless they are there already.

        A commit is made on the head that was read before it, so it fails when somebody else commits
        meanwhile. The next attempt leaves out what the Hub has by then, as after an answer that got lost.
        """

        def attempt() -> None:
            # Operations remember what the Hub said about them, so every attempt needs new ones.
            operations = [
                CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
                for path, content in files.items()
            ]
            head = self.head()
            self._pace.wait()
            done = self._api.create_commit(
                self.name, operations, commit_message=message, repo_type=_KIND, parent_commit=head
            )
            self.commits += done.oid != head

        self._hub.ask("a commit", attempt)

    def head(self) -> str:
        """The commit at the head of the main branch."""
        return str(self._api.repo_info(self.name, repo_type=_KIND).sha)

    def _exists(self) -> bool:
        def found() -> bool:
            try:
                self._api.repo_info(self.name, repo_type=_KIND)
            except RepositoryNotFoundError:
                return False
            return True

        return self._hub.ask("information", found)

    def _refused(self, why: str) -> WorkerError:
        return WorkerError(Reason.REPOSITORY_REFUSED, f"{self.name} on the Hub can't be published to: {why}.")


def _git(size: int) -> bytes:
    """What git hashes before a file's content."""
    return f"blob {size}\0".encode()


def _more(paths: Sequence[str]) -> str:
    return f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
