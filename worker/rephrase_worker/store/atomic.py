"""Atomic creation of files on local and network file systems.

The whole content is written to a temporary file in the same folder and made durable. A hard link then gives
it its name, and fails if the name is taken. That is atomic on every POSIX file system, also on NFS, where
exclusive opens and renaming without replacing are not.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_PREFIX = ".rephrase-"
_SUFFIX = ".tmp"
_FOLDER_ATTEMPTS = 10


def is_temporary(name: str) -> bool:
    """Whether this is the name of a temporary file, whose writer is at work or was killed."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def create(path: Path, data: bytes) -> bool:
    """Creates the file durably with this content. False if it exists already."""
    return _link(path, lambda file: _write_all(file, data))


def create_from_file(path: Path, source: Path) -> bool:
    """Creates the file with the content of another. False if it exists already."""

    def copy(file: BinaryIO) -> None:
        with source.open("rb") as content:
            shutil.copyfileobj(content, file, 1 << 20)

    return _link(path, copy)


def replace(path: Path, data: bytes) -> None:
    """Writes the file atomically; it may exist already."""
    temporary = _write_temporary(path.parent, lambda file: _write_all(file, data))
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_tree(folder: Path) -> None:
    """Removes the folder. Files that another process removes at the same time are no error."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():
            remove_tree(folder)


def remove_temporary(folder: Path) -> None:
    """Removes the temporary files in the folder."""
    if folder.is_dir():
        for path in folder.iterdir():
            if is_temporary(path.name):
                path.unlink(missing_ok=True)


def _link(path: Path, fill: Callable[[BinaryIO], None]) -> bool:
    if path.exists():
        return False
    temporary = _write_temporary(path.parent, fill)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def _write_temporary(folder: Path, fill: Callable[[BinaryIO], None]) -> Path:
    path, file = _open_temporary(folder)
    try:
        with file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _open_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """Makes the folder too. Another process may remove it at the same time, so it tries several times."""
    path = folder / f"{_PREFIX}{uuid.uuid4().hex}{_SUFFIX}"
    for _ in range(_FOLDER_ATTEMPTS):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return path, path.open("xb")
        except FileNotFoundError:
            continue
    raise FileNotFoundError(errno.ENOENT, "another process keeps removing the folder", str(folder))


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _sync_folder(folder: Path) -> None:
    """Makes the new name durable. fsync of a file does not cover the file's entry in its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
