"""What a mix is made of: shares, provenance, order, sizes, and the account of it."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from rephrase_worker import layout
from rephrase_worker.finalizer import finalize
from rephrase_worker.mix import spool
from rephrase_worker.mix.run import mix_shard
from rephrase_worker.mixes import MixAccount
from rephrase_worker.planner import planner
from rephrase_worker.spec import Output, Recipe, Source
from rephrase_worker.store import Store
from tests.tiny_model import ensure_tiny_model
from tests.worker.builders import final_rows, jsonl, shard_plans, write_parquet
from tests.worker.mix_builders import (
    bytes_of,
    finished,
    mixed,
    ordered,
    rows_of,
    tables_of,
    words,
    write_original,
)


def made(folder: Path, **settings: object) -> tuple[Recipe, MixAccount]:
    recipe = ordered(folder, **settings)  # type: ignore[arg-type]
    return recipe, mixed(recipe, finished(recipe))


def check(recipe: Recipe, account: MixAccount) -> None:
    """The account against the rows that are there, and the rows against what they were made from."""
    rows = rows_of(recipe)
    samples = {
        (name, row["source_file"], row["source_position"], row["rollout"]): row
        for name in account.prompts
        for shard in shard_plans(recipe)
        for row in final_rows(recipe, shard.shard, name)
    }
    identity = ("kind", "prompt", "source_file", "source_position", "rollout", "repetition")
    assert max(Counter(tuple(row[name] for name in identity) for row in rows).values(), default=1) == 1
    for name, prompt in account.prompts.items():
        of_prompt = [row for row in rows if row["prompt"] == name]
        assert prompt.planned == prompt.used + prompt.error + prompt.empty + prompt.unused + prompt.missing
        assert prompt.planned == sum(key[0] == name for key in samples)
        assert prompt.error == sum(key[0] == name and row["text"] is None for key, row in samples.items())
        assert (prompt.rows, prompt.tokens) == (len(of_prompt), sum(row["tokens"] for row in of_prompt))
        assert prompt.used == sum(row["repetition"] == 0 for row in of_prompt)
        for row in of_prompt:
            sample = samples[name, row["source_file"], row["source_position"], row["rollout"]]
            assert (row["kind"], row["text"], row["id"]) == ("synthetic", sample["text"], sample["id"])
    original = [row for row in rows if row["kind"] == "original"]
    found = account.original
    assert found.documents == found.used + found.unusable + found.unused
    assert (found.rows, found.tokens) == (len(original), sum(row["tokens"] for row in original))
    assert all(row["tokens"] == len(row["text"].split()) and row["text"].strip() for row in rows)
    assert (account.rows, account.tokens) == (len(rows), sum(row["tokens"] for row in rows))
    assert account.most_repetitions == max((row["repetition"] + 1 for row in rows), default=0)
    synthetic = account.tokens - found.tokens
    assert account.share_reached == pytest.approx(synthetic / account.tokens if rows else 0.0)


def test_each_prompt_has_the_share_that_was_asked_for(tmp_path: Path) -> None:
    recipe, account = made(
        tmp_path, documents=300, original=1500, rollouts=2, share={"faq": 0.6, "math": 0.8}, shards=3
    )
    check(recipe, account)
    assert account.prompts["faq"].share_reached == pytest.approx(0.6, abs=0.01)
    assert account.prompts["math"].share_reached == pytest.approx(0.8, abs=0.01)
    assert account.share_reached == pytest.approx(account.share_asked, rel=0.01)
    assert (account.most_repetitions, account.short, account.original.unusable) == (1, "", 0)
    assert all(prompt.unused == 0 and prompt.empty and prompt.error for prompt in account.prompts.values())


def test_a_prompt_that_says_nothing_is_mixed_half_and_half(tmp_path: Path) -> None:
    recipe, account = made(tmp_path, documents=200, original=1000)
    check(recipe, account)
    assert account.share_reached == pytest.approx(0.5, rel=0.01)


def test_documents_a_hundred_times_as_long_as_others_do_not_spoil_the_share(tmp_path: Path) -> None:
    chosen = random.Random(4)
    texts = [words(chosen, 5, 60) if number % 20 else words(chosen, 3000, 5000) for number in range(800)]
    write_parquet(tmp_path / "long" / "o.parquet", texts)
    for shards in (1, 3):
        folder = tmp_path / str(shards)
        recipe, account = made(folder, documents=150, source=str(tmp_path / "long"), shards=shards)
        check(recipe, account)
        assert account.share_reached == pytest.approx(0.5, rel=0.01)


def test_original_rows_say_where_they_are_from(tmp_path: Path) -> None:
    recipe, _ = made(tmp_path)
    texts = pq.read_table(tmp_path / "original" / "o.parquet").column("text").to_pylist()
    originals = [row for row in rows_of(recipe) if row["kind"] == "original"]
    assert originals
    for row in originals:
        assert row["text"] == texts[row["source_position"]]
        assert row["id"] == f"o.parquet:{row['source_position']}"
        assert (row["prompt"], row["rollout"], row["source_file"]) == (None, None, "o.parquet")


def test_the_files_load_as_one_dataset_with_one_schema(tmp_path: Path) -> None:
    recipe, account = made(tmp_path, shards=3)
    schemas = {table.schema.remove_metadata() for table in tables_of(recipe).values()}
    assert len(schemas) == 1
    whole = pq.read_table(Path(recipe.output.uri) / "mix")
    assert whole.num_rows == account.rows
    assert whole.column_names == [
        "text", "kind", "prompt", "source_file", "source_position", "rollout", "id", "tokens", "repetition",
    ]  # fmt: skip


def test_both_kinds_are_shuffled_into_each_other(tmp_path: Path) -> None:
    recipe, _ = made(tmp_path, documents=300, original=1500)
    for table in tables_of(recipe).values():
        kinds = table.column("kind").to_pylist()
        runs = [len(list(run)) for _, run in groupby(kinds)]
        both = 2 * kinds.count("original") * kinds.count("synthetic") / len(kinds)
        assert len(runs) == pytest.approx(both, rel=0.15)  # as many as in a random order
        positions = [row["source_position"] for row in table.to_pylist() if row["kind"] == "original"]
        assert positions != sorted(positions)


def test_every_shard_is_a_sample_of_the_whole(tmp_path: Path) -> None:
    recipe, _ = made(tmp_path, documents=400, original=2000, shards=4, broken=False)
    for table in tables_of(recipe).values():
        for kind in ("synthetic", "original"):
            positions = [row["source_position"] for row in table.to_pylist() if row["kind"] == kind]
            assert sum(positions) / len(positions) == pytest.approx(
                {"synthetic": 200, "original": 1000}[kind], rel=0.3
            )


def test_the_same_seed_gives_the_same_bytes_in_any_order_of_the_shards(tmp_path: Path) -> None:
    recipe = ordered(tmp_path, shards=3, seed=7)
    shards = finished(recipe)
    mixed(recipe, shards)
    first = bytes_of(recipe)
    store = Store(recipe.output.uri)
    for path in first:
        store.remove(path)
    assert [mix_shard(store, shard) is not None for shard in (2, 0, 1)] == [False, False, True]
    assert bytes_of(recipe) == first
    assert mix_shard(store, 0) is not None  # whoever comes later finds it finished
    assert bytes_of(recipe) == first


def test_another_seed_gives_another_sample_in_another_order(tmp_path: Path) -> None:
    taken = []
    for seed in (1, 2):
        recipe, _ = made(tmp_path / str(seed), seed=seed)
        taken.append([row["source_position"] for row in rows_of(recipe) if row["kind"] == "original"])
    assert set(taken[0]) != set(taken[1])


def test_a_shard_larger_than_memory_has_the_same_rows_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, _ = made(tmp_path / "whole")
    monkeypatch.setattr(spool, "BUCKET_TOKENS", 300)
    cut, _ = made(tmp_path / "cut")
    assert rows_of(cut) == rows_of(recipe)
    content = Store(cut.output.uri).read(layout.mix_file(0))
    assert pq.ParquetFile(pa.BufferReader(content)).num_row_groups > 4


@pytest.mark.parametrize(("tokens", "repetitions"), [(900, 1), (6000, 3)], ids=["down", "up"])
def test_a_size_is_met_by_taking_fewer_texts_or_some_again(
    tmp_path: Path, tokens: int, repetitions: int
) -> None:
    recipe, account = made(tmp_path, documents=100, original=400, tokens=tokens, share={"faq": 0.7})
    check(recipe, account)
    assert account.tokens == pytest.approx(tokens, rel=0.05)
    assert account.share_reached == pytest.approx(account.share_asked, rel=0.03)
    assert account.most_repetitions <= repetitions
    assert (account.most_repetitions > 1) is (repetitions > 1)
    assert account.short == ""


def test_too_little_original_data_is_repeated(tmp_path: Path) -> None:
    recipe, account = made(tmp_path, documents=100, original=40)
    check(recipe, account)
    assert 1 < account.most_repetitions <= 4
    assert account.original.used == 40
    assert account.share_reached == pytest.approx(0.5, rel=0.02)
    assert account.short == ""


def test_where_repetitions_do_not_suffice_the_mix_is_smaller_and_the_shares_hold(tmp_path: Path) -> None:
    recipe, account = made(tmp_path, documents=300, original=10, max_repetitions=2)
    check(recipe, account)
    assert (account.most_repetitions, account.original.used, account.original.rows) == (2, 10, 20)
    assert all(prompt.unused > 100 for prompt in account.prompts.values())
    assert account.share_reached == pytest.approx(0.5, rel=0.03)
    assert account.short == (
        "The mix is smaller than asked for: the original data is too little for the shares, with at most 2 "
        "uses of each text (mix.maxRepetitions). The shares were kept."
    )


def test_a_size_that_the_outputs_can_not_fill_ends_short(tmp_path: Path) -> None:
    recipe, account = made(tmp_path, tokens=10**6, max_repetitions=2, original=2000)
    check(recipe, account)
    assert account.most_repetitions == 2
    assert "the outputs are too few for 1000000 tokens" in account.short
    assert account.share_reached == pytest.approx(0.5, rel=0.03)


def test_a_compressed_file_serves_several_shards_without_a_document_twice(tmp_path: Path) -> None:
    chosen = random.Random(2)
    (tmp_path / "gz").mkdir()
    lines = [words(chosen, 5, 60) for _ in range(400)]
    (tmp_path / "gz" / "o.jsonl.gz").write_bytes(gzip.compress(jsonl([*lines, None])))
    recipe, account = made(tmp_path, documents=150, source=str(tmp_path / "gz"), shards=3)
    check(recipe, account)
    assert account.share_reached == pytest.approx(0.5, rel=0.02)
    originals = [row for row in rows_of(recipe) if row["kind"] == "original"]
    assert all(lines[row["source_position"]] == row["text"] for row in originals)
    assert max(row["source_position"] for row in originals) > 300  # not only the head of the file


def test_unusable_documents_are_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    good = [words(random.Random(n), 5, 20) for n in range(30)]
    (tmp_path / "bad" / "o.jsonl").write_bytes(jsonl([*good, None, "", 17]))
    recipe, account = made(tmp_path, documents=100, source=str(tmp_path / "bad"), max_repetitions=100)
    check(recipe, account)
    assert account.original.errors == {"empty_text": 1, "missing_text": 1, "text_not_string": 1}
    assert (account.original.used, account.original.unusable) == (30, 3)


def test_the_source_itself_can_be_the_original(tmp_path: Path) -> None:
    recipe, account = made(
        tmp_path, documents=120, source=str(tmp_path / "in"), share={"faq": 0.9, "math": 0.9}
    )
    check(recipe, account)
    assert account.prompts["faq"].share_reached == pytest.approx(0.9, abs=0.01)
    assert recipe.mix is not None
    assert recipe.mix.source == Source(uri=recipe.source.uri)


def test_a_prompt_without_any_text_takes_no_part(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    store = Store(recipe.output.uri)
    shards = finished(recipe, fails=lambda sample: sample.prompt == "math")
    account = mixed(recipe, shards)
    check(recipe, account)
    assert (account.prompts["math"].rows, account.prompts["math"].share_reached) == (0, 0.0)
    assert account.prompts["math"].planned == account.prompts["math"].error == 40
    assert account.prompts["faq"].share_reached == pytest.approx(0.5, rel=0.03)
    assert store.exists(layout.MIX_ACCOUNT)


def test_a_dataset_without_any_text_has_nothing_to_mix(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    assert finished(recipe, fails=lambda _: True) == 0
    assert Store(recipe.output.uri).list("mix") == []


def test_more_shards_than_there_is_data_for_become_fewer(tmp_path: Path) -> None:
    write_original(tmp_path / "few" / "o.parquet", 3)
    recipe, account = made(
        tmp_path, documents=20, source=str(tmp_path / "few"), shards=50, max_repetitions=100
    )
    check(recipe, account)
    assert account.shards == 3


def test_tokens_are_those_of_the_model_that_made_the_outputs(tmp_path: Path) -> None:
    recipe = ordered(tmp_path, documents=60, original=400, model=str(ensure_tiny_model()), share={"faq": 0.7})
    account = mixed(recipe, finished(recipe))
    tokenizer = Tokenizer.from_file(str(ensure_tiny_model() / "tokenizer.json"))
    for row in rows_of(recipe):
        assert row["tokens"] == len(tokenizer.encode(row["text"], add_special_tokens=False).ids)
    assert account.share_reached == pytest.approx(account.share_asked, rel=0.01)
    assert account.prompts["faq"].share_reached == pytest.approx(0.7, abs=0.01)


def test_a_finished_dataset_is_mixed_by_planning_its_job_again_with_a_mix(tmp_path: Path) -> None:
    recipe = ordered(tmp_path)
    plain = recipe.model_copy(update={"mix": None, "output": Output(uri=str(tmp_path / "later"))})
    planner.plan(plain)
    assert finished(plain) == 0
    with_mix = plain.model_copy(update={"mix": recipe.mix})
    assert with_mix.hash == plain.hash
    planner.plan(with_mix)
    account = mixed(with_mix, finalize(with_mix).mix_shards)
    check(with_mix, account)
