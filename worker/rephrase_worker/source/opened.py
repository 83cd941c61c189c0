"""An open source file, which tells errors of storage from errors of content.

A broken file makes libraries raise anything: errors of their own, ValueError, KeyError, even MemoryError. So
do network and storage. A broken file is final, while storage is worth another attempt, and the class of an
error does not say which of them it is. The place where it was raised does. So the file remembers an error
that reading its bytes has raised. Every other error is about the content.
"""

from __future__ import annotations

import io
import logging
import lzma
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from rephrase_worker.source.decompress import ZstdError
from rephrase_worker.spec import WorkerError
from rephrase_worker.store.errors import describe
from rephrase_worker.store.location import Location

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MESSAGE_CHARACTERS = 200

log = logging.getLogger(__name__)


class BrokenFileError(Exception):
    """The content is not what it should be. The message never quotes it."""


class UnreachableFileError(Exception):
    """The bytes could not be read: network, storage, permissions. The cause is the original error."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(describe(cause))
        self.cause = cause


class WatchedFile(io.RawIOBase):
    """A file that remembers which error reading its bytes has raised."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self.failure: Exception | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills the buffer, or as much of it as the file has."""
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
            return len(data)

    def read(self, size: int | None = -1) -> bytes:
        """This many bytes; fewer only at the end of the file."""
        position = self._file.tell()
        # A broken file can make a library ask for exabytes, and the memory for them would be allocated before
        # anything is read.
        left = max(0, self._size - position)
        wanted = left if size is None or size < 0 else min(size, left)
        try:
            return self._file.read(wanted)
        except Exception as error:  # every file system has its own exceptions
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a position. One before the start is an error of the caller and not of storage."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The current position."""
        return self._file.tell()

    def close(self) -> None:
        """Closes the underlying file as well."""
        if not self.closed:
            self._file.close()
        super().close()


@contextmanager
def watched(location: Location, size: int, *, ahead: bool = True) -> Iterator[WatchedFile]:
    """The file, open for reading, `ahead` of what is read or not (`Location.open`).

    Errors that are raised while it is open become UnreachableFileError or BrokenFileError, except for
    WorkerError, which stays as it is.
    """
    try:
        file = WatchedFile(location.open(ahead=ahead), size)
    except Exception as error:  # every file system has its own exceptions
        raise UnreachableFileError(error) from error
    try:
        with file:
            yield file
    except (WorkerError, BrokenFileError):
        raise
    except Exception as error:  # libraries raise anything over a broken file
        if file.failure is not None:
            raise UnreachableFileError(file.failure) from error
        sentence = _sentence(error)
        # The place but not the whole message, which may quote the content.
        log.info("%s: %s\n%s", location.uri, sentence, "".join(traceback.format_tb(error.__traceback__)))
        raise BrokenFileError(sentence) from error


_SAYS_WHAT = (pa.ArrowException, OSError, EOFError, zlib.error, lzma.LZMAError, ZstdError)
"""Errors whose messages are about formats. Messages of other errors may quote the content."""


def _sentence(error: Exception) -> str:
    name = type(error).__name__
    if not isinstance(error, _SAYS_WHAT):
        return name
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return f"{name}: {text}"[:_MESSAGE_CHARACTERS]
