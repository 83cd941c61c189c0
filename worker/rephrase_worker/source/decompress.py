"""Compressed JSONL as one stream: all members or frames, to the last byte of the file.

The readers of the libraries stop without an error in places where they should not: where a frame is cut off
(zstandard), or at data that follows a member (bz2, lzma). Here the end of the file has to be the end of a
member. Zeros that pad a gzip or xz file are skipped, as their command line tools do. Anything else after a
member is an error.

Memory: a chunk of input, a buffer of output, and the window that the file asks for, which is 8 MiB by default
for zstd, and up to 2 GiB for a file made with `zstd --long=31`; only the used part of it takes memory.
"""

from __future__ import annotations

import bz2
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from rephrase_worker.plan import Compression

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ZstdError = zstd.ZstdError

INPUT_BYTES = 256 << 10
"""Bytes of a compressed file that are read at a time."""

_BUFFER_BYTES = 1 << 20
_LONGEST_WINDOW = 31
"""Base-2 logarithm of zstd's largest window."""


class Decompressor(Protocol):
    """A decompressor of one member or frame, as bz2, lzma, zstd and `_Gzip` have it."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether it needs more input before it can give more output."""

    @property
    def unused_data(self) -> bytes:
        """Input after the end of the member."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Takes more input and returns at most this many bytes of output, perhaps none."""


class _Gzip:
    """zlib's decompressor with the interface of the others. Checks length and CRC."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(0, max_length))


def _zstd() -> Decompressor:
    options = {int(zstd.DecompressionParameter.window_log_max): _LONGEST_WINDOW}
    return cast("Decompressor", zstd.ZstdDecompressor(options=options))


_DECOMPRESSORS: dict[Compression, Callable[[], Decompressor]] = {
    "gzip": _Gzip,
    "zstd": _zstd,
    "bz2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}
_PADDED: set[Compression] = {"gzip", "xz"}


class CompressedStream(io.RawIOBase):
    """The decompressed content of a file. Raises the libraries' errors, and EOFError if it is cut off."""

    def __init__(
        self, file: io.RawIOBase, compression: Compression, *, input_bytes: int = INPUT_BYTES
    ) -> None:
        self._file = file
        self._input_bytes = input_bytes
        self._new = _DECOMPRESSORS[compression]
        self._padded = compression in _PADDED
        self._member: Decompressor | None = None
        self._input = b""
        self.consumed = 0
        """Bytes of the file that have been read."""

    @property
    def drained(self) -> bool:
        """Whether all that was read of the file has been decompressed."""
        return not self._input and (self._member is None or self._member.eof or self._member.needs_input)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills a part of the buffer; 0 only at the end."""
        with memoryview(buffer).cast("B") as view:
            while True:
                if self._member is None or self._member.eof:
                    if not self._next_member():
                        return 0
                    continue
                if self._member.needs_input and not self._input:
                    self._input = self._read()
                    if not self._input:
                        raise EOFError("the file is cut off: it ends within compressed data")
                data, self._input = self._input, b""
                content = self._member.decompress(data, len(view))
                if content:
                    view[: len(content)] = content
                    return len(content)

    def _next_member(self) -> bool:
        """Starts on the next member. Returns False at the end of the file."""
        rest = self._input if self._member is None else self._member.unused_data
        padding = self._padded and self._member is not None
        while True:
            if padding:
                rest = rest.lstrip(b"\0")
            if rest:
                break
            rest = self._read()
            if not rest:
                return False
        self._input = rest
        self._member = self._new()
        return True

    def _read(self) -> bytes:
        data = self._file.read(self._input_bytes) or b""
        self.consumed += len(data)
        return data

    def close(self) -> None:
        """Closes the file as well."""
        if not self.closed:
            self._file.close()
        super().close()


def buffered(stream: io.RawIOBase) -> io.BufferedReader:
    """The stream with a fast readline. Closing it closes the stream."""
    return io.BufferedReader(stream, _BUFFER_BYTES)
