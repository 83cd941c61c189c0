"""Random numbers that belong to things: the same thing and seed give the same number everywhere."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]


class Keyed:
    """Numbers of 64 bits for one seed."""

    def __init__(self, seed: int) -> None:
        self._salt = seed.to_bytes(8, "little")

    def of(self, *parts: str | int) -> int:
        """The number of the thing that these parts name."""
        name = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(name, digest_size=8, key=self._salt).digest(), "little")


def repeated(keys: Keys, repetition: int) -> Keys:
    """Numbers for a repetition of the things with these keys, as random as the keys.

    The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): it turns every bit that differs into
    half of all bits.
    """
    mixed = keys + np.uint64(0x9E3779B97F4A7C15 * (repetition + 1) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
