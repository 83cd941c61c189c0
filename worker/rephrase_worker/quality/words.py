"""The words of a batch of texts as hashes, and the hashes of their n-grams.

A word is what stands between ASCII white space, in lower case; in scripts without spaces between words, every
character is one. Arrow splits whole batches at once, and each different word is hashed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from rephrase_worker.quality.sketch import Hashes

_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(31)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several texts, one after the other."""

    hashes: Hashes
    """Of each word."""
    texts: npt.NDArray[np.int64]
    """The number of the text that each word is in."""
    different: Hashes
    """The hashes, each at least once: fewer than all of them where repetitions are known."""

    def ngrams(self, length: int) -> Words:
        """All runs of so many words within one text."""
        count = len(self.hashes) - length + 1
        if count <= 0:
            return Words(self.hashes[:0], self.texts[:0], self.hashes[:0])
        hashes = self.hashes[:count]
        for offset in range(1, length):
            hashes = _mixed(hashes * _FACTOR + self.hashes[offset : offset + count])
        inside = self.texts[:count] == self.texts[length - 1 :]
        return Words(hashes[inside], self.texts[:count][inside], hashes[inside])


def words_of(texts: Sequence[str]) -> Words:
    """The words of texts without lone surrogates. Blank texts have none."""
    array = pc.utf8_lower(pa.array(texts, type=pa.large_string()))
    if not all(map(str.isascii, texts)):
        array = pc.replace_substring_regex(array, _UNSPACED, r" \1 ")
    # Splitting leaves an empty word wherever white space is at an end of a text.
    lists = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(array))
    numbers = np.repeat(
        np.arange(len(texts), dtype=np.int64), pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    )
    flat = lists.flatten()
    filled = pc.not_equal(flat, "")
    if not pc.all(filled, min_count=0).as_py():
        flat, numbers = flat.filter(filled), numbers[filled.to_numpy(zero_copy_only=False)]
    encoded = flat.dictionary_encode()
    vocabulary = encoded.dictionary.to_pylist()
    known = np.fromiter(map(xxhash.xxh3_64_intdigest, vocabulary), dtype=np.uint64, count=len(vocabulary))
    return Words(known[encoded.indices.to_numpy()], numbers, known)


def repeated_share(grams: Words, texts: int) -> npt.NDArray[np.float64]:
    """For each text the share of its n-grams that it has had before; 0 where it has none."""
    # The text's number above the hash: 44 bits are enough to tell the n-grams of one text apart.
    keys = (grams.texts.astype(np.uint64) << np.uint64(44)) | (grams.hashes >> np.uint64(20))
    keys.sort()
    again = (keys[1:][keys[1:] == keys[:-1]] >> np.uint64(44)).astype(np.int64)
    repeated = np.bincount(again, minlength=texts)
    share: npt.NDArray[np.float64] = repeated / np.maximum(np.bincount(grams.texts, minlength=texts), 1)
    return share


def _mixed(hashes: Hashes) -> Hashes:
    return (hashes ^ (hashes >> _HALF)) * _MIX
