"""Which outputs a final file leaves out because they don't have the prompt's structure.

The file itself says so, in its metadata. So the record is there exactly if the rows are, and everybody who
reads the file can prove that each planned output is either a row or in the record.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import Base64Bytes, Field

from rephrase_worker.spec import Contract

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Keys = npt.NDArray[np.int64]
"""Keys of one prompt, one in each row: number of the source file in the shard, position, rollout."""

_KEY = "rephrase_filtered"
"""Key of the record in a final file's metadata."""

_COLUMNS = 3


def _no_keys() -> Keys:
    return np.empty((0, _COLUMNS), dtype=np.int64)


@dataclass(frozen=True)
class Filtered:
    """The outputs that a final file leaves out."""

    keys: Keys = field(default_factory=_no_keys)
    output_tokens: int = 0
    """Tokens that the model wrote for them."""


class _Record(Contract):
    """The value in the metadata."""

    count: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    keys: Base64Bytes
    """Three columns of 64-bit numbers, little-endian, compressed with zstd."""


def to_metadata(filtered: Filtered) -> dict[str, str]:
    """What the metadata of a final file says of the outputs that it leaves out."""
    columns = np.ascontiguousarray(filtered.keys.T, dtype="<i8")
    record = _Record(
        count=len(filtered.keys),
        output_tokens=filtered.output_tokens,
        keys=base64.b64encode(zstd.compress(columns.tobytes())),
    )
    return {_KEY: record.to_json()}


def from_metadata(metadata: Mapping[bytes, bytes] | None) -> Filtered | None:
    """What a final file's metadata says; None where it says nothing. Raises ValueError if it is damaged."""
    found = (metadata or {}).get(_KEY.encode())
    if found is None:
        return None
    record = _Record.model_validate_json(found)
    try:
        content = zstd.decompress(record.keys)
    except zstd.ZstdError as error:
        raise ValueError(f"the keys of the outputs that it leaves out can't be unpacked: {error}") from error
    if len(content) != record.count * _COLUMNS * 8:
        raise ValueError(
            f"it says that it leaves {record.count} outputs out, and their keys are {len(content)} bytes"
        )
    columns = np.frombuffer(content, dtype="<i8").reshape(_COLUMNS, record.count)
    return Filtered(np.ascontiguousarray(columns.T, dtype=np.int64), record.output_tokens)
