"""Finding a source's files: a file, a folder or a glob on any file system becomes a sorted list.

Nothing is opened here. The name says what a file is; `inspection` finds out whether that is true. The walk is
our own, because fsspec's `find` and `glob` leave out what they can't list, follow no links, and take names
for patterns. A source must not lose files without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fsspec.core import has_magic

from rephrase_worker import layout
from rephrase_worker.plan import Compression, Format, SkippedPath
from rephrase_worker.source import names
from rephrase_worker.source.pattern import Pattern, States
from rephrase_worker.spec import Reason, Source, WorkerError
from rephrase_worker.store.errors import describe, planning_exit_code
from rephrase_worker.store.location import Entry, Location

_THREADS = 16
"""Folders of an object store that are listed at a time, because each of them is a request to wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file to read. `path` is relative to the source's root."""

    path: str
    format: Format
    compression: Compression | None
    size: int
    etag: str
    asked_for: bool
    """Whether the URI names the file, or has a pattern with its suffix; False if it was found in a folder."""


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files of a source, sorted by path, and what was passed over, with the reasons."""

    root: Location
    files: list[FoundFile] = field(default_factory=list)
    skipped: list[SkippedPath] = field(default_factory=list)


def open_location(uri: str) -> Location:
    """The place that the source's URI names. Raises WorkerError(SOURCE_NOT_FOUND)."""
    try:
        return Location.parse(uri)
    except ValueError as error:
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND,
            f"{uri} can't be opened: {error}. Use an absolute path or an fsspec URI whose file system is "
            "installed in the worker's image.",
        ) from error


def etag(info: Mapping[str, Any]) -> str:
    """What identifies a file's content, of all that its file system says about it."""
    for name in ("ETag", "etag", "generation", "blob_id", "sha256"):
        if info.get(name):
            return str(info[name]).strip('"')
    for name in ("mtime", "LastModified", "last_modified", "created"):
        if moment := info.get(name):
            # Some file systems give a datetime for one file and seconds for the same one in a listing.
            return f"{name}:{moment.timestamp() if isinstance(moment, datetime) else moment}"
    return f"size:{info['size']}"


def find_files(source: Source, uri: str) -> FoundFiles:
    """The files that `uri` stands for: `source.uri`, or its form pinned to a commit.

    Raises WorkerError: SOURCE_NOT_FOUND when nothing matches, SOURCE_FORMAT when a file that was asked for
    can't be read as documents, SOURCE_UNREADABLE when a folder can't be listed.
    """
    root, pattern = _anchor(source, uri)
    if isinstance(pattern, str):
        found = _single(source, root, pattern)
    else:
        found = _Walk(source, pattern, root).run()
        _refuse_unreadable(source, pattern, found)
    if not found.files:
        passed_over = names.summary(found.skipped, len(found.skipped))
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND,
            f"{source.uri} matches no file that can be read. Give a file, a folder or a glob of files that "
            f"end with {names.READABLE}; or set source.format to parquet or jsonl."
            + (f" Passed over: {passed_over}." if passed_over else ""),
        )
    return found


def _anchor(source: Source, uri: str) -> tuple[Location, Pattern | str]:
    """The root, and the pattern below it or the name of the one file in it.

    A path that exists is taken literally. So is every part of a glob up to the first that does not exist.
    """
    whole = open_location(uri)
    try:
        match whole.kind():
            case "file":
                return whole.parent, whole.name
            case "folder":
                return whole, Pattern.everything()
            case None if has_magic(whole.path) and not whole.path.startswith(("http://", "https://")):
                return _glob(whole)
    except WorkerError:
        raise
    except Exception as error:  # every file system has its own exceptions
        raise _unlistable(whole, error) from error
    raise WorkerError(
        Reason.SOURCE_NOT_FOUND,
        f"{source.uri} is not there, or is neither a file nor a folder. Check the path and the worker's "
        "credentials.",
    )


def _glob(whole: Location) -> tuple[Location, Pattern]:
    parts: list[str] = []
    root = whole
    while has_magic(root.path):
        parts.insert(0, root.name)
        root = root.parent
    while parts and (not has_magic(parts[0]) or (root / parts[0]).kind() is not None):
        root /= parts.pop(0)
    if root.kind() != "folder":
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND, f"{whole.uri} matches nothing: there is no folder {root.uri}."
        )
    try:
        return root, Pattern([part for part in parts if part])
    except (ValueError, IndexError) as error:
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND, f"{whole.uri} is not there, and is not a valid pattern: {error}."
        ) from error


def _single(source: Source, root: Location, name: str) -> FoundFiles:
    info = (root / name).info()
    kind = names.format_of(name, source.format, asked_for=True)
    if isinstance(kind, str):
        raise _not_readable(source, [SkippedPath(path=name, reason=kind)])
    return FoundFiles(root, [_found(name, kind, info, asked_for=True)])


def _refuse_unreadable(source: Source, pattern: Pattern, found: FoundFiles) -> None:
    """A pattern that ends in a suffix asks for what has it."""
    bad = [one for one in found.skipped if one.reason in names.UNREADABLE]
    if bad and (pattern.spells_suffix or (not found.files and pattern.is_glob)):
        raise _not_readable(source, bad)


def _not_readable(source: Source, bad: list[SkippedPath]) -> WorkerError:
    return WorkerError(
        Reason.SOURCE_FORMAT,
        f"{source.uri} asks for files that can't be read: {names.summary(bad, len(bad))}. Files are read "
        f"that end with {names.READABLE}. If these hold parquet or JSON lines under another name, set "
        "source.format; else convert them or narrow source.uri down.",
    )


def _unlistable(location: Location, error: Exception) -> WorkerError:
    return WorkerError(
        Reason.SOURCE_UNREADABLE,
        f"{location.uri} can't be listed: {describe(error)}. Nothing is left out of a source: "
        "let the worker read it, check its credentials and the network, or narrow source.uri down.",
        exit_code=planning_exit_code(error),
    )


def _found(
    path: str, kind: tuple[Format, Compression | None], info: Mapping[str, Any], *, asked_for: bool
) -> FoundFile:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise WorkerError(
            Reason.SOURCE_FORMAT, f"The name of the file {path!r} is not valid UTF-8. Rename it."
        ) from error
    if info.get("size") is None:
        raise WorkerError(
            Reason.SOURCE_FORMAT,
            f"The server does not say how long {path} is, so that it can't be told later whether it is still "
            "the same file. Copy it to a file system or an object store.",
        )
    format_, compression = kind
    return FoundFile(
        path=path,
        format=format_,
        compression=compression,
        size=int(info["size"]),
        etag=etag(info),
        asked_for=asked_for,
    )


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to list."""

    location: Location
    path: str
    """Relative to the root, with a slash at the end; empty for the root."""
    states: States
    above: frozenset[tuple[int, int]]
    """Identities of the folder and of those that it lies in, by the links that led here."""


class _Walk:
    """Lists the tree below the root, level by level."""

    def __init__(self, source: Source, pattern: Pattern, root: Location) -> None:
        self._source = source
        self._pattern = pattern
        self._found = FoundFiles(root)

    def run(self) -> FoundFiles:
        """The files, sorted."""
        root = self._found.root
        level = [_Folder(root, "", self._pattern.start, frozenset(filter(None, [root.identity()])))]
        with ThreadPoolExecutor(1 if root.is_local else _THREADS) as pool:
            while level:
                listed = zip(level, pool.map(_entries, level), strict=True)
                level = [below for folder, entries in listed for below in self._take(folder, entries)]
        self._found.files.sort(key=lambda file: file.path)
        self._found.skipped.sort(key=lambda one: one.path)
        return self._found

    def _take(self, folder: _Folder, entries: Iterable[Entry] | None) -> Iterable[_Folder]:
        """Sorts a folder's files, and returns the folders in it that have to be listed as well."""
        if entries is None:
            self._skip(folder.path, names.OUTPUT)
            return
        for entry in sorted(entries, key=lambda entry: entry.name):
            states = self._pattern.step(folder.states, entry.name)
            path = folder.path + entry.name
            if entry.kind == "folder":
                if self._pattern.leads_on(states):
                    below = self._enter(folder, entry, f"{path}/", states)
                    if below is not None:
                        yield below
            elif self._pattern.matches(states):
                self._take_file(entry, path)

    def _enter(self, folder: _Folder, entry: Entry, path: str, states: States) -> _Folder | None:
        if not entry.name:
            self._skip(path, names.NAMELESS)
        elif entry.name.startswith(self._pattern.hidden_prefixes):
            self._skip(path, names.HIDDEN)
        elif entry.identity in folder.above:
            self._skip(path, names.LOOP)
        else:
            above = folder.above | frozenset(filter(None, [entry.identity]))
            return _Folder(folder.location / entry.name, path, states, above)
        return None

    def _take_file(self, entry: Entry, path: str) -> None:
        asked_for = self._pattern.spells_suffix
        if entry.name.startswith(self._pattern.hidden_prefixes):
            return self._skip(path, names.HIDDEN)
        kind = names.format_of(path, self._source.format, asked_for=asked_for)
        if entry.kind == "link to nothing":
            if isinstance(kind, str) and "." in entry.name:
                return self._skip(path, names.NOTHING)
            raise WorkerError(
                Reason.SOURCE_UNREADABLE,
                f"{self._found.root.uri}/{path} is a link to nothing, so that something is missing from the "
                "source. Fetch what it leads to (as `dvc pull` and `git annex get` do), or remove the link.",
                exit_code=planning_exit_code(FileNotFoundError()),
            )
        if entry.kind == "other":
            return self._skip(path, names.SPECIAL)
        if isinstance(kind, str):
            return self._skip(path, kind)
        return self._found.files.append(_found(path, kind, entry.info, asked_for=asked_for))

    def _skip(self, path: str, reason: str) -> None:
        writable = path.encode("utf-8", "backslashreplace").decode()
        self._found.skipped.append(SkippedPath(path=writable, reason=reason))


def _entries(folder: _Folder) -> list[Entry] | None:
    """What a folder holds; None for one that a job writes to or has written. The source itself may be one."""
    location = folder.location
    try:
        entries = location.entries()
        bookkeeping = any(entry.name == layout.BOOKKEEPING for entry in entries)
        if folder.path and bookkeeping and (location / layout.RECIPE).kind() == "file":
            return None
    except Exception as error:  # every file system has its own exceptions
        raise _unlistable(location, error) from error
    return entries
