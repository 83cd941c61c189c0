"""Properties of the pure parts of mixing: quotas, keys, and dealing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.mix.dealing import Expected, OutputFile, deal, expect
from rephrase_worker.mix.keys import Keyed, repeated
from rephrase_worker.mix.quotas import scale_for_original, scale_of_outputs, times_used
from rephrase_worker.mixes import MixListing, original_needed, share_of
from rephrase_worker.plan import SourceFile, SourceListing
from rephrase_worker.spec import Mix, Source

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=60)


@given(LENGTHS, st.floats(0, 10_000), st.integers(0, 5))
def test_the_tokens_used_are_close_to_what_is_wanted(lengths: list[int], wanted: float, seed: int) -> None:
    keyed = Keyed(seed)
    keys = np.array([keyed.of(number) for number in range(len(lengths))], dtype=np.uint64)
    tokens = np.array(lengths, dtype=np.int64)
    times = times_used(keys, tokens, wanted)
    left = tokens[times == wanted // tokens.sum()]  # Rows that the last, partial round has not taken.
    short = left.min() / 2 if len(left) else 0
    over = int((tokens * times).sum()) - wanted
    assert -short - 1e-6 <= over <= max(lengths) / 2 + 1e-6
    assert times.max() - times.min() <= 1
    assert times.max() <= np.ceil(wanted / tokens.sum())


def test_a_giant_among_the_rows_does_not_spoil_the_share() -> None:
    keyed = Keyed(1)
    lengths = np.array([50 + number % 100 for number in range(500)], dtype=np.int64)
    lengths[::50] = 40_000
    keys = np.array([keyed.of(number) for number in range(500)], dtype=np.uint64)
    for wanted in (9_000, 30_000, 90_000):
        assert abs(int((times_used(keys, lengths, wanted) * lengths).sum()) - wanted) <= 75


def test_a_sample_is_those_with_the_lowest_keys() -> None:
    keys = np.array([5, 1, 4, 2, 3], dtype=np.uint64)
    assert times_used(keys, np.full(5, 10, dtype=np.int64), 30).tolist() == [0, 1, 0, 1, 1]
    assert times_used(keys, np.full(5, 10, dtype=np.int64), 112).tolist() == [2, 3, 2, 2, 2]


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**9), min_size=1),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 0.99), min_size=4, max_size=4),
    st.none() | st.integers(1, 10**10),
    st.integers(1, 8),
    st.integers(0, 10**10),
)
def test_shares_hold_whatever_is_too_little(
    outputs: dict[str, int],
    shares: dict[str, float],
    size: int | None,
    repetitions: int,
    available: int,
) -> None:
    wanted = scale_of_outputs(outputs, shares, size, repetitions)
    needed = original_needed(outputs, shares)
    final = scale_for_original(wanted, needed, available, repetitions)
    assert 0 <= final.factor <= wanted.factor <= max(1, repetitions)
    used = {name: tokens * final.factor for name, tokens in outputs.items()}
    original = original_needed(used, shares)
    assert original <= available * repetitions * (1 + 1e-9)
    if size is not None:
        assert sum(used.values()) + original <= size * (1 + 1e-9)
    for name, tokens in used.items():
        alone = original_needed({name: tokens}, shares)
        assert not tokens or abs(share_of(tokens, alone) - shares[name]) < 1e-9


@given(
    st.lists(st.tuples(st.sampled_from(["faq", "math"]), st.integers(0, 400)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(1, 300), st.booleans()), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 3),
)
def test_everything_is_dealt_to_exactly_one_shard(
    outputs: list[tuple[str, int]], originals: list[tuple[int, bool]], shards: int, seed: int
) -> None:
    files = [
        OutputFile(prompt, f"{prompt}/shard-{number:05d}.parquet", rows, 1)
        for number, (prompt, rows) in enumerate(sorted(outputs))
    ]
    listing = listing_of(originals)
    mix = Mix(source=Source(uri="/in"), share={"faq": 0.5, "math": 0.5}, seed=seed)
    expected = Expected(shards=shards, used=1.0, documents=listing.documents)
    plans = list(deal(mix, expected, files, listing))
    assert [plan.shard for plan in plans] == list(range(shards))
    rows = [(run.path, row) for plan in plans for run in plan.outputs for row in range(run.start, run.end)]
    assert sorted(rows) == [(file.path, row) for file in files for row in range(file.rows)]
    documents = [
        (block.range.file.path, place)
        for plan in plans
        for block in plan.original
        for place in (
            [f"part {block.part} of {block.parts}"]
            if block.range.end is None
            else range(block.range.start, block.range.end)
        )
    ]
    assert len(documents) == len(set(documents))
    for file in listing.files.files:
        found = [place for path, place in documents if path == file.path]
        if file.compression is None:
            assert sorted(found) == list(range(file.documents))
        else:
            (parts,) = {str(place).rpartition(" ")[2] for place in found}
            assert len(found) == int(parts)


def listing_of(originals: list[tuple[int, bool]]) -> MixListing:
    files = [
        SourceFile(
            path=f"{number}",
            format="jsonl" if compressed else "parquet",
            compression="gzip" if compressed else None,
            size=1,
            etag="e",
            documents=documents,
            documents_exact=True,
        )
        for number, (documents, compressed) in enumerate(originals)
    ]
    return MixListing(
        source=Source(uri="/in"),
        files=SourceListing(root="/in", files=files),
        documents=sum(documents for documents, _ in originals),
        documents_exact=True,
        tokens_per_document=100.0,
    )


def test_a_small_mix_of_much_data_reads_little_of_it() -> None:
    listing = listing_of([(1000, False)] * 1000)
    mix = Mix(source=Source(uri="/in"), share={"faq": 0.5}, tokens=2_000_000, shards=4)
    expected = expect(mix, {"faq": 10**9}, 10**7, listing)
    assert (expected.shards, expected.documents) == (4, 10_000)
    files = [OutputFile("faq", f"faq/{number:05d}", 10**5, 1) for number in range(100)]
    plans = list(deal(mix, expected, files, listing))
    outputs = sum(run.end - run.start for plan in plans for run in plan.outputs)
    assert 10_000 <= outputs <= 20_000  # of ten million
    assert {len(plan.original) for plan in plans} == {1024}
    assert {block.documents for plan in plans for block in plan.original} <= set(range(1, 157))


def test_original_data_without_a_token_to_expect_does_not_divide_by_nothing() -> None:
    mix = Mix(source=Source(uri="/in"), share={"faq": 0.5})
    assert expect(mix, {"faq": 0}, 0, listing_of([(3, False)])).shards == 0


def test_keys_are_spread_and_repetitions_are_not_related_to_them() -> None:
    keyed = Keyed(0)
    keys = np.array([keyed.of("original", "a", number) for number in range(20_000)], dtype=np.uint64)
    assert len(set(keys.tolist())) == len(keys)
    for numbers in (keys, repeated(keys, 0), repeated(keys, 1)):
        counts = np.bincount((numbers >> np.uint64(60)).astype(np.int64), minlength=16)
        assert counts.min() > 1050  # of 1,250 expected
    assert abs(np.corrcoef(keys.astype(float), repeated(keys, 0).astype(float))[0, 1]) < 0.03
    assert abs(np.corrcoef(repeated(keys, 0).astype(float), repeated(keys, 1).astype(float))[0, 1]) < 0.03
