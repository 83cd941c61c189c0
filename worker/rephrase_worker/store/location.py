"""A place on a file system: the file system and a path, which are kept apart and never joined to a URI again.

fsspec takes and gives URIs in many places, and parses them anew each time: `::` starts a chain, `?` a
query, `~` a home, and `*`, `?` and `[` are globs, even where a file of that very name exists. All of
these occur in names of files. So a URI is taken apart once, here. After that, names are only
appended to the path. Local files don't pass through fsspec at all.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from rephrase_worker.store.errors import describe
from rephrase_worker.uris import local_path

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")

Kind = Literal["file", "folder", "link to nothing", "other"]
"""The kind of an entry. "other" is a pipe, a socket or a device."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder."""

    name: str
    kind: Kind
    info: Mapping[str, Any]
    """What the file system says about a file: `size`, and what `etag` needs."""
    identity: tuple[int, int] | None = None
    """Device and inode of a local folder: the same whichever links led to it."""


@dataclass(frozen=True, slots=True)
class Location:
    """A file or folder, which may not exist. `uri` is its name for people, and what `parse` takes."""

    fs: AbstractFileSystem
    path: str
    uri: str

    @classmethod
    def parse(cls, uri: str) -> Location:
        """The place that a URI or a local path names. No character after the scheme has a special meaning.

        Raises ValueError when there is no such file system or it can't be made.
        """
        scheme = _SCHEME.match(uri)
        if scheme is not None and scheme[1] == "pvc":
            # The claim's name stays in `uri`: where it is mounted differs from pod to pod.
            return cls(LocalFileSystem(), local_path(uri, os.environ), uri.rstrip("/"))
        if scheme is None or scheme[1] in LocalFileSystem.protocol:
            local = uri if scheme is None else uri[scheme.end() :]
            path = local if local.startswith("/") else posixpath.join(str(Path.cwd()), local)
            path = path.rstrip("/") or "/"
            return cls(LocalFileSystem(), path, path)
        try:
            kind = fsspec.get_filesystem_class(scheme[1])
            # Listings are never cached, so that files of other processes are seen.
            fs = kind(use_listings_cache=False, **kind._get_kwargs_from_urls(uri))  # noqa: SLF001
            path = kind._strip_protocol(uri)  # noqa: SLF001
        except Exception as error:  # every file system has its own exceptions
            raise ValueError(describe(error)) from error
        fs.invalidate_cache()
        return cls(fs, path, uri.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether it is on a file system of this machine, network file systems included."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def parent(self) -> Location:
        """The folder that it lies in."""
        if self.path == "/":
            return self
        cut = len(self.name) + 1
        return Location(self.fs, self.path[:-cut] or "/", self.uri[:-cut] or "/")

    def __truediv__(self, relative: str) -> Location:
        """The place below it at a relative path, which can hold any characters."""
        return Location(self.fs, _join(self.path, relative), _join(self.uri, relative))

    def info(self) -> dict[str, Any]:
        """What the file system says about it now, including `type` (file, directory or other) and `size`.

        Raises FileNotFoundError when nothing is there.
        """
        if self.is_local:
            return _local_info(os.stat(self.path))  # noqa: PTH116
        return cast("dict[str, Any]", self._fresh().info(self.path))

    def identity(self) -> tuple[int, int] | None:
        """Device and inode of what is there, links followed; None on object stores."""
        if not self.is_local:
            return None
        status = os.stat(self.path)  # noqa: PTH116
        return status.st_dev, status.st_ino

    def kind(self) -> Kind | None:
        """The kind of what is there now; None for nothing. Every error except absence is raised."""
        try:
            type_ = self.info()["type"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # of a glob that was tried as a name
                return None
            raise
        return _KINDS.get(type_, "other")

    def entries(self) -> list[Entry]:
        """The entries of the folder, with links followed. Every error is raised, also in mid-listing.

        On object stores the zero-byte objects that stand for folders are left out. A folder without a
        name is what S3 shows for two slashes in a row; nothing below it can be listed.
        """
        if self.is_local:
            with os.scandir(self.path) as found:
                return [_local_entry(entry) for entry in found]
        entries = []
        for info in self._fresh().ls(self.path, detail=True):
            kind = _KINDS.get(info["type"], "other")
            path = str(info["name"])
            name = posixpath.basename(path.rstrip("/"))
            if kind == "file" and path.endswith("/"):
                if info["size"]:  # an object with content, but no path leads to it
                    entries.append(Entry(f"{name}/", "other", info))
                continue
            if kind == "folder" and path.rstrip("/") == self.path:
                name = ""
            entries.append(Entry(name, kind, info))
        return entries

    def open(self, *, ahead: bool = True) -> IO[bytes]:
        """The file for reading, seekable. An object store is asked for more than is read (some fetch 50 MiB
        at a time) unless `ahead` is False: for readers that pick a few columns.
        """
        if self.is_local:
            return open(self.path, "rb")  # noqa: PTH123
        options = {} if ahead else {"cache_type": "none"}
        return cast("IO[bytes]", self._fresh().open(self.path, "rb", **options))

    def _fresh(self) -> AbstractFileSystem:
        """The file system for this thread, without anything remembered.

        The Hub's can't be shared: its cache, which can't be switched off, is a dictionary without a lock.
        fsspec keeps one instance a thread and gives it out again for the same arguments.
        """
        fs = type(self.fs)(*self.fs.storage_args, **self.fs.storage_options)
        fs.invalidate_cache()
        return fs


_KINDS: dict[str, Kind] = {"file": "file", "directory": "folder"}


def _join(folder: str, relative: str) -> str:
    return f"{folder}/{relative}" if folder != "/" else f"/{relative}"


def _local_entry(entry: os.DirEntry[str]) -> Entry:
    try:
        status = entry.stat()
    except OSError as error:
        # ELOOP: links that lead to each other. A file that vanished after the listing is treated like them.
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            raise
        return Entry(entry.name, "link to nothing", {})
    info = _local_info(status)
    return Entry(entry.name, _KINDS.get(info["type"], "other"), info, (status.st_dev, status.st_ino))


def _local_info(status: os.stat_result) -> dict[str, Any]:
    if stat.S_ISDIR(status.st_mode):
        type_ = "directory"
    else:
        type_ = "file" if stat.S_ISREG(status.st_mode) else "other"
    return {"type": type_, "size": status.st_size, "mtime": status.st_mtime_ns}
