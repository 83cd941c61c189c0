"""Finding a source's files: a file, a folder or a glob on any file system becomes a sorted list.

Nothing is opened here. What a file is goes by its suffix, or by `source.format` when that is set;
whether that is true is for `inspection` to find out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from fsspec import AbstractFileSystem
from fsspec.core import has_magic, url_to_fs

from rephrase_worker.spec import Reason, Source, WorkerError
from rephrase_worker.store.errors import planning_exit_code

Format = Literal["parquet", "jsonl"]
Compression = Literal["gzip", "zstd"]

_FORMATS: dict[str, Format] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file that the source's pattern matches. `path` is relative to the source's root."""

    path: str
    format: Format
    compression: Compression | None
    size: int
    etag: str


def open_filesystem(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URI, with listings that are never cached, and the path within it."""
    try:
        fs, path = url_to_fs(uri, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND,
            f"{uri} can't be opened: {error}. Use an absolute path or an fsspec URI whose file system is "
            "installed in the worker's image.",
        ) from error
    fs.invalidate_cache()
    return fs, path


def etag(info: Mapping[str, Any]) -> str:
    """What identifies a file's content, of all that its file system says about it."""
    for name in ("ETag", "etag", "generation", "blob_id", "sha256"):
        if info.get(name):
            return str(info[name]).strip('"')
    for name in ("mtime", "LastModified", "last_modified", "created"):
        if info.get(name):
            return f"{name}:{info[name]}"
    return f"size:{info['size']}"


def is_undecodable(error: BaseException) -> bool:
    """Whether pyarrow says that a file's content is broken.

    Errors of network and storage carry an errno or a class of their own, and say nothing about the content.
    """
    return isinstance(error, pa.ArrowException) or (type(error) is OSError and error.errno is None)


def find_files(source: Source, uri: str) -> tuple[str, list[FoundFile]]:
    """Root folder (with protocol) and files, sorted by path, that `uri` stands for.

    `uri` is `source.uri`, or its form pinned to a commit. Raises WorkerError: SOURCE_NOT_FOUND when
    nothing matches, SOURCE_FORMAT when a file that was asked for has no suffix that says what it is.
    """
    fs, path = open_filesystem(uri)
    try:
        root, infos, explicit = _match(fs, path)
    except FileNotFoundError:
        infos, root, explicit = {}, path, True
    except Exception as error:  # every file system has its own exceptions
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND,
            f"{uri} can't be listed: {type(error).__name__}: {error}. "
            "Check the path and the worker's credentials.",
            exit_code=planning_exit_code(error),
        ) from error
    found = [
        file for relative in sorted(infos) if (file := _classify(source, relative, infos[relative], explicit))
    ]
    if not found:
        raise WorkerError(
            Reason.SOURCE_NOT_FOUND,
            f"{source.uri} matches no file that can be read. "
            "Give a file, a folder with .parquet, .jsonl, .jsonl.gz or .jsonl.zst files, or a glob; "
            "names that start with a dot or an underscore are skipped.",
        )
    return str(fs.unstrip_protocol(root)) if "file" not in _protocols(fs) else root, found


def _protocols(fs: AbstractFileSystem) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _match(fs: AbstractFileSystem, path: str) -> tuple[str, dict[str, dict[str, Any]], bool]:
    """Root, infos of matching files by path relative to it, and whether a name or pattern asked for them."""
    if has_magic(path) and not fs.exists(path):
        root = _fixed_folder(path)
        pattern = path[len(root) :].lstrip("/")
        infos = fs.glob(path, detail=True)
        return root, _visible(root, infos, pattern), True
    info = fs.info(path)
    if info["type"] == "file":
        root, name = posixpath.split(path)
        return root, {name: info}, True
    return path, _visible(path, fs.find(path, detail=True), ""), False


def _fixed_folder(pattern: str) -> str:
    """The folders of a glob up to the first that holds a magic character."""
    parts = pattern.split("/")
    fixed = next(index for index, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:fixed]) or "/"


def _visible(root: str, infos: Mapping[str, dict[str, Any]], pattern: str) -> dict[str, dict[str, Any]]:
    """Files by relative path, without hidden and underscored ones unless the pattern spells that out."""
    spelled_out = {part[0] for part in pattern.split("/") if part}
    skipped = tuple({".", "_"} - spelled_out)
    visible = {}
    for name, info in infos.items():
        relative = name[len(root.rstrip("/")) :].lstrip("/")
        if info["type"] == "file" and not any(
            part.startswith(skipped) for part in relative.split("/") if skipped
        ):
            visible[relative] = info
    return visible


def _classify(source: Source, path: str, info: Mapping[str, Any], explicit: bool) -> FoundFile | None:
    """The file with its format; None for a file of unknown kind that merely lies in the folder."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise WorkerError(
            Reason.SOURCE_FORMAT, f"The name of the file {path!r} is not valid UTF-8. Rename it."
        ) from error
    stem, suffix = posixpath.splitext(path.lower())
    compression = _COMPRESSIONS.get(suffix)
    if compression:
        suffix = posixpath.splitext(stem)[1]
    known = _FORMATS.get(suffix)
    if source.format != "auto":
        known = source.format
    elif known == "parquet" and compression:
        known = None
    if known is None:
        if explicit:
            raise WorkerError(
                Reason.SOURCE_FORMAT,
                f"The suffix of {path} does not say what it is. Set source.format to parquet or jsonl, or "
                "narrow source.uri down.",
            )
        return None
    return FoundFile(
        path=path,
        format=known,
        compression=compression if known == "jsonl" else None,
        size=int(info["size"]),
        etag=etag(info),
    )
