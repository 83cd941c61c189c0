"""The worker's commands as processes, with the real vLLM on a tiny model, and killed in every way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from rephrase_worker.spec import (
    EngineSettings,
    Model,
    Output,
    Owner,
    Prompt,
    Recipe,
    Sampling,
    Sharding,
    Source,
)
from tests.tiny_model import ensure_tiny_model
from tests.worker.worker_process import Workspace, fetch, workspace

PROMPTS = ("faq", "table")
ROLLOUTS = 2
TEXT_FIELD = "content"


@pytest.fixture
def job(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """A planned job of one shard over parquet, JSONL and compressed JSONL, a few of it broken.

    Its parameter is a seed.
    """
    source = tmp_path / "source"
    source.mkdir()
    write_source(source)
    recipe = Recipe(
        job=Owner(namespace="default", name="end-to-end"),
        source=Source(uri=str(source), text_field=TEXT_FIELD),
        prompts=[
            Prompt(name=name, template=f"A text from the web:\n\n{{{{document}}}}\n\nWrite a {name} on it.")
            for name in PROMPTS
        ],
        model=Model(name=str(ensure_tiny_model())),
        sampling=Sampling(max_tokens=96, rollouts=ROLLOUTS, seed=getattr(request, "param", None)),
        output=Output(uri=str(tmp_path / "output")),
        sharding=Sharding(documents_per_shard=10_000),
    )
    engine = EngineSettings(
        enforce_eager=True,
        dtype="float32",
        kv_cache_memory_bytes=32 * 1024 * 1024,
        block_size=32,
        max_num_seqs=4,
        max_model_len=512,
        commit_interval_seconds=1,
    )
    with workspace(tmp_path, recipe, engine) as space:
        space.run("plan")
        yield space


def write_source(folder: Path) -> None:
    rows = [sentence(number) for number in range(70)]
    pq.write_table(pa.table({TEXT_FIELD: rows}), folder / "a.parquet", row_group_size=16)
    with (folder / "b.jsonl").open("wb") as file:
        for number in range(40):
            file.write(json.dumps({TEXT_FIELD: sentence(number)}).encode() + b"\n")
        file.write(b"this is not JSON\n")
        file.write(json.dumps({TEXT_FIELD: ""}).encode() + b"\n")
        file.write(json.dumps({TEXT_FIELD: "<|im_end|> no end in sight. " * 2000}).encode() + b"\n")
        file.write(b'{"content": "\xff\xfe"}\n')
    with gzip.open(folder / "c.jsonl.gz", "wb") as packed:
        for number in range(20):
            packed.write(json.dumps({TEXT_FIELD: sentence(number)}).encode() + b"\n")


def sentence(number: int) -> str:
    return f"Text {number} tells of " + ", ".join(
        f"thing {number * i % 97}" for i in range(1, 4 + number % 17)
    )


def expected_keys(space: Workspace) -> set[tuple[str, int, str, int]]:
    """Every key of the job, from the source files alone."""
    source = Path(space.recipe.source.uri)
    positions = [("a.parquet", row) for row in range(70)]
    offset = 0
    for line in (source / "b.jsonl").read_bytes().splitlines(keepends=True):
        positions.append(("b.jsonl", offset))
        offset += len(line)
    positions += [("c.jsonl.gz", line) for line in range(20)]
    return {
        (file, position, prompt, rollout)
        for file, position in positions
        for prompt in PROMPTS
        for rollout in range(ROLLOUTS)
    }


def samples(paths: list[Path]) -> dict[tuple[str, int, str, int], str | None]:
    """Text by key; no key may be there twice in one file."""
    found: dict[tuple[str, int, str, int], str | None] = {}
    for path in paths:
        rows = pq.read_table(path).to_pylist()
        keys = {key_of(row) for row in rows}
        assert len(keys) == len(rows)
        found |= {key_of(row): row["text"] for row in rows if key_of(row) not in found}
    return found


def key_of(row: dict[str, object]) -> tuple[str, int, str, int]:
    position, rollout = row["source_position"], row["rollout"]
    assert isinstance(position, int)
    assert isinstance(rollout, int)
    return (str(row["source_file"]), position, str(row["prompt"]), rollout)


def assert_account_is_exact(space: Workspace) -> None:
    """Every planned key is there exactly once, as text or as an error that says why."""
    rows = [
        row
        for prompt in PROMPTS
        for row in ds.dataset(space.output / prompt, format="parquet").to_table().to_pylist()
    ]
    assert len(rows) == len(expected_keys(space))
    assert {key_of(row) for row in rows} == expected_keys(space)
    for row in rows:
        assert (row["text"] is None) != (row["error"] is None)
        assert (row["seed"] is None) == (space.recipe.sampling.seed is None)
        if row["error"] is None:
            assert row["prompt_tokens"] > 0
            assert row["prompt_tokens"] + row["output_tokens"] <= 512
    errors = [row["error"].partition(":")[0] for row in rows if row["error"] is not None]
    assert sorted(set(errors)) == ["empty_text", "invalid_json", "not_utf8"]
    assert len(errors) == 3 * len(PROMPTS) * ROLLOUTS
    assert sum(row["truncated"] for row in rows) == len(PROMPTS) * ROLLOUTS
    manifest = json.loads((space.output / "_rephrase/manifests/shard-00000.json").read_bytes())
    assert manifest["documents"] == len(rows) // len(PROMPTS) // ROLLOUTS
    for prompt, account in manifest["prompts"].items():
        mine = [row for row in rows if row["prompt"] == prompt]
        assert account["text"] == sum(row["error"] is None for row in mine)
        assert account["error"] == sum(row["error"] is not None for row in mine)
        assert account["outputTokens"] == sum(row["output_tokens"] for row in mine)


def test_a_worker_killed_in_mid_shard_and_two_workers_on_its_shard_leave_an_exact_account(
    job: Workspace,
) -> None:
    killed = job.worker(uid="killed")
    killed.wait_for_line("committed samples=[1-9]")
    killed.kill()
    assert killed.report()["state"] == "generating"
    assert killed.report()["commits"] >= 1
    committed = samples(job.segments())
    assert 0 < len(committed) < len(expected_keys(job))

    twins = [job.worker(uid="twin-a"), job.worker(uid="twin-b")]
    for twin in twins:
        url = twin.wait_for_line(r"telemetry=(\S+)").group(1)
        assert fetch(f"{url}/healthz") == b"ok\n"
        twin.wait_for_line("committed samples=[1-9]")
        progress = json.loads(fetch(f"{url}/progress"))
        assert progress["documentsDone"] >= 1
        assert progress["samplesText"] > sum(text is not None for text in committed.values())
        metrics = fetch(f"{url}/metrics").decode()
        assert "rephrase_worker_output_tokens_total" in metrics
        assert "vllm:generation_tokens_total" in metrics
    assert [twin.exit_code() for twin in twins] == [0, 0], twins[0].text + twins[1].text
    assert {twin.report()["state"] for twin in twins} == {"done"}
    assert_account_is_exact(job)

    final = samples([job.output / prompt / "shard-00000.parquet" for prompt in PROMPTS])
    assert {key: final[key] for key in committed} == committed
    twin_rows = sum(pq.read_metadata(path).num_rows for path in job.segments() if "twin-a" in path.name)
    assert twin_rows <= len(expected_keys(job)) - len(committed)


@pytest.mark.parametrize("job", [7], indirect=True)
def test_a_dead_engine_core_and_a_preemption_cost_no_row(job: Workspace) -> None:
    dying = job.worker(uid="dying")
    dying.wait_for_line("committed samples=[1-9]")
    (core,) = [process for process in dying.descendants() if "EngineCore" in process.name()]
    core.kill()
    assert dying.exit_code() == 69, dying.text
    assert dying.report()["failure"]["reason"] == "EngineFailed"
    assert "died without an error message" in dying.report()["failure"]["message"]
    after_death = samples(job.segments())

    preempted = job.worker(uid="preempted")
    preempted.wait_for_line("committed samples=[1-9]")
    preempted.terminate_group()
    assert preempted.exit_code() == 75, preempted.text
    assert preempted.report()["failure"]["reason"] == "Preempted"
    after_preemption = samples(job.segments())
    assert len(after_death) < len(after_preemption) < len(expected_keys(job))

    last = job.worker(uid="last")
    assert last.exit_code() == 0, last.text
    assert_account_is_exact(job)
    final = samples([job.output / prompt / "shard-00000.parquet" for prompt in PROMPTS])
    assert {key: final[key] for key in after_preemption} == after_preemption

    again = job.worker(uid="again")
    assert again.exit_code() == 0, again.text
    assert again.report()["startupSeconds"].keys() == {"import"}
    job.run("finalize")
    account = json.loads((job.output / "_rephrase/account.json").read_bytes())
    assert account["missingShards"] == 0
    for prompt in PROMPTS:
        totals = account["prompts"][prompt]
        assert totals["planned"] == totals["text"] + totals["error"] == 134 * ROLLOUTS
    assert not (job.output / "_rephrase/segments").exists() or not job.segments()


def test_sigterm_while_the_engine_loads_ends_the_worker_and_all_its_processes(job: Workspace) -> None:
    worker = job.worker(uid="loading")
    worker.wait_for_line("Initializing a V1 LLM engine")
    started = worker.descendants()
    worker.terminate()
    assert worker.exit_code() == 75, worker.text
    assert worker.report()["failure"]["reason"] == "Preempted"
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []


def test_an_engine_that_can_not_start_says_why_in_the_report(job: Workspace) -> None:
    too_small = EngineSettings(
        enforce_eager=True,
        dtype="float32",
        kv_cache_memory_bytes=1024 * 1024,
        block_size=256,
        max_model_len=2048,
    )
    (job.folder / "engine.json").write_text(too_small.to_json())
    worker = job.worker(uid="starved")
    assert worker.exit_code() == 69, worker.text
    failure = worker.report()["failure"]
    assert failure["reason"] == "EngineFailed"
    assert "larger than the available KV cache memory" in failure["message"]
    assert job.segments() == []
