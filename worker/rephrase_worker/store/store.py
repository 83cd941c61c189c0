"""The destination: a folder on any file system, in which no file is ever half written or overwritten.

The first writer of a path wins atomically, and every other writer finds its file. Object stores do this
by conditional put (`If-None-Match: *` and its like, which fsspec calls mode "create"), local and
network file systems by a hard link from a temporary file in the same folder, because a rename would
overwrite and an exclusive open would show a half-written file. Listings are never cached,
so that files of other processes are seen.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from rephrase_worker.spec import ExitCode, Reason, WorkerError
from rephrase_worker.store import atomic
from rephrase_worker.store.errors import describe, planning_exit_code, store_code
from rephrase_worker.store.location import Entry, Location
from rephrase_worker.store.parallel import in_parallel
from rephrase_worker.store.patience import Patience

_CONDITION_FAILED = {"PreconditionFailed", "412"}
_CONDITION_RACE = {"ConditionalRequestConflict", "409"}
_RACE_ATTEMPTS = 20
_THREADS = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store as it was listed."""

    path: str
    """Relative to the store's folder."""
    size: int
    """Bytes."""


class Store:
    """A folder. Paths are relative to it.

    Reading a path that is not there raises FileNotFoundError; every other failure raises
    WorkerError(OUTPUT_NOT_WRITABLE). Its exit code asks for another attempt, as what fails here may
    work on another node; with `planning`, when nothing has been paid for yet, an error that every node
    would meet (no permission, no such bucket) fails the job at once. With `patience`, an operation
    that fails is tried again for as long as that allows, unless its error is permanent. Safe to use from
    several threads.
    """

    def __init__(self, uri: str, *, planning: bool = False, patience: Patience | None = None) -> None:
        self._planning = planning
        self._patience = patience
        try:
            self._root = Location.parse(uri)
        except ValueError as error:
            raise WorkerError(
                Reason.OUTPUT_NOT_WRITABLE,
                f"The folder {uri} can't be opened: {error}. Use an absolute path or an fsspec URI whose "
                "file system is installed in the worker's image.",
            ) from error
        self.uri = self._root.uri
        self._local = self._root.is_local
        self._fs = self._root.fs

    def probe(self, folder: str) -> None:
        """Tries out, with a file of its own in this folder, whether two writers of a path can both succeed.

        A file system's own word is not enough: fsspec's mode "create" is a look followed by an open on some,
        and others ignore it. Raises WorkerError(OUTPUT_NOT_WRITABLE).
        """
        path, first, second = f"{folder}/{uuid.uuid4().hex}", b"first", b"second"
        with tempfile.NamedTemporaryFile(prefix="rephrase-probe-") as local:
            local.write(second)
            local.flush()
            self.create(path, first)
            try:
                overwrites = self.create(path, second) or self.create_from_file(path, Path(local.name))
                overwrites = overwrites or self.read(path) != first
            finally:
                self.remove(path)
        if overwrites:
            raise WorkerError(
                Reason.OUTPUT_NOT_WRITABLE,
                f"{self.uri} lies on a file system that overwrites a file when it is asked to create it only "
                "if there is none (a conditional put). Workers would overwrite each other's samples there. "
                "Choose a volume (pvc://) or an object store with conditional writes: Amazon S3, Google "
                "Cloud Storage and Azure Blob Storage have them.",
                exit_code=ExitCode.CONFIG,
            )

    def create(self, path: str, data: bytes) -> bool:
        """Creates the file. False if it exists already; nothing changes then."""
        if self._local:
            return self._write(path, lambda: atomic.create(self._local_path(path), data))
        return self._write(path, lambda: self._create_object(lambda: self._pipe(path, data, "create")))

    def create_from_file(self, path: str, local: Path) -> bool:
        """Like `create`, with the content of a local file. The local file is kept."""
        if self._local:
            return self._write(path, lambda: atomic.create_from_file(self._local_path(path), local))

        def put() -> None:
            self._fs.put_file(str(local), self._path(path), mode="create")

        return self._write(path, lambda: self._create_object(put))

    def replace(self, path: str, data: bytes) -> None:
        """Writes the file atomically; it may exist already. Only for content that can be computed again."""
        if self._local:
            self._write(path, lambda: atomic.replace(self._local_path(path), data))
        else:
            self._write(path, lambda: self._pipe(path, data, "overwrite"))

    def read(self, path: str) -> bytes:
        """The file's content."""
        if self._local:
            return self._read(path, lambda: self._local_path(path).read_bytes())
        return cast("bytes", self._read(path, lambda: self._fs.cat_file(self._path(path))))

    def fetch(self, path: str, local: Path) -> None:
        """Copies the file to a local one, without holding it in memory. The local file may exist already.

        Raises OSError when the local disk is full.
        """

        def copy() -> OSError | None:
            try:
                if self._local:
                    shutil.copyfile(self._local_path(path), local)
                else:
                    self._fs.get_file(self._path(path), str(local))
            except OSError as error:
                # Reading takes no space at the destination, so the local disk is full. Waiting for the store
                # would not help, and blaming it would mislead.
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                return error
            return None

        if full := self._read(path, copy):
            raise full

    def exists(self, path: str) -> bool:
        """Whether the file is there, now."""
        # fsspec's own exists and isfile return False for every error.
        try:
            return bool(self._info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def size(self, path: str) -> int:
        """Bytes of the file."""
        return int(self._info(path)["size"])

    def list(self, folder: str) -> list[str]:
        """Paths of the files directly in the folder, sorted; none when the folder is not there."""
        names = [entry.name for entry in self._entries(folder) if entry.kind == "file"]
        return sorted(f"{folder}/{name}" for name in names if not atomic.is_temporary(name))

    def sizes(self, folder: str) -> dict[str, int]:
        """Paths of the files directly in the folder and their bytes, in no order."""
        return {
            f"{folder}/{entry.name}": int(entry.info["size"])
            for entry in self._entries(folder)
            if entry.kind == "file" and not atomic.is_temporary(entry.name)
        }

    def examine(self, path: str, look: Callable[[Location], T]) -> T:
        """What `look` makes of the file at the path. It runs again when it fails and patience is left."""
        return self._read(path, lambda: look(self._root / path))

    def folders(self, folder: str) -> Sequence[str]:
        """Paths of the folders directly in the folder, sorted; they may be empty."""
        return sorted(f"{folder}/{entry.name}" for entry in self._entries(folder) if entry.kind == "folder")

    def _entries(self, folder: str) -> Sequence[Entry]:
        try:
            return self._read(folder, (self._root / folder).entries)
        except FileNotFoundError:
            return []

    def remove(self, path: str) -> None:
        """Removes the file. It is no error if it is gone already."""
        if self._local:
            self._remove(path, self._local_path(path).unlink)
        else:
            self._remove(path, lambda: self._fs.rm_file(self._path(path)))

    def remove_tree(self, folder: str) -> None:
        """Removes the folder with everything in it. It is no error if it is gone already."""
        if self._local:
            self._remove(folder, lambda: atomic.remove_tree(self._local_path(folder)))
            return
        # File by file, because fsspec's recursive removal takes the names that it finds for globs.
        in_parallel(_THREADS, self.remove, (file.path for file in self.tree(folder)))

    def tree(self, folder: str) -> Iterator[StoredFile]:
        """All files below the folder, those of a folder by name; none when the folder is not there."""
        for entry in sorted(self._entries(folder), key=lambda entry: entry.name):
            path = f"{folder}/{entry.name}"
            if entry.kind == "folder":
                yield from self.tree(path)
            elif not atomic.is_temporary(entry.name):
                yield StoredFile(path, int(entry.info.get("size") or 0))

    def remove_temporary(self, folder: str) -> None:
        """Removes the temporary files of killed writers. Object stores have no such files."""
        if self._local:
            self._write(folder, lambda: atomic.remove_temporary(self._local_path(folder)))

    def _local_path(self, path: str) -> Path:
        return Path(self._path(path))

    def _path(self, path: str) -> str:
        return (self._root / path).path

    def _pipe(self, path: str, data: bytes, mode: str) -> None:
        self._fs.pipe_file(self._path(path), data, mode=mode)

    def _create_object(self, put: Callable[[], None]) -> bool:
        """Runs a conditional put; False when the condition did not hold."""
        for _ in range(_RACE_ATTEMPTS):
            try:
                put()
                return True
            except FileExistsError:
                return False
            except Exception as error:
                # While another put of the same key is under way, S3 answers 409, which means: try again.
                code = store_code(error)
                if code in _CONDITION_FAILED:
                    return False
                if code not in _CONDITION_RACE:
                    raise
        raise OSError(errno.EAGAIN, "other writers kept writing the same path")

    def _info(self, path: str) -> dict[str, Any]:
        return self._read(path, (self._root / path).info)

    def _read(self, path: str, read: Callable[[], T]) -> T:
        try:
            return self._patiently(f"reading {path}", read, writing=False)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(errno.ENOENT, "not there", f"{self.uri}/{path}") from error
        except Exception as error:  # every file system has its own exceptions
            raise self._failed(path, "read", error) from error

    def _write(self, path: str, write: Callable[[], T]) -> T:
        try:
            return self._patiently(f"writing {path}", write, writing=True)
        except Exception as error:
            raise self._failed(path, "written", error) from error

    def _remove(self, path: str, remove: Callable[[], object]) -> None:
        try:
            self._patiently(f"removing {path}", remove, writing=True)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._failed(path, "removed", error) from error

    def _patiently(self, operation: str, attempt: Callable[[], T], *, writing: bool) -> T:
        if self._patience is None:
            return attempt()
        return self._patience.run(operation, attempt, writing=writing)

    def _failed(self, path: str, verb: str, error: Exception) -> WorkerError:
        cause = describe(error).rstrip(".")
        notes = "".join(f"{note} " for note in getattr(error, "__notes__", ()))
        return WorkerError(
            Reason.OUTPUT_NOT_WRITABLE,
            f"{self.uri}/{path} can't be {verb}: {cause}. {notes}Check that the folder or "
            "bucket exists, has space, and may be read and written with the worker's credentials.",
            exit_code=planning_exit_code(error) if self._planning else ExitCode.INTERNAL,
        )
