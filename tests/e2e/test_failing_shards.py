"""A hundred shards fail: the job ends soon, says so, and keeps what the others made."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from tests.e2e.harness import Job, Stage, sample_text

FAILING = 100
PER_SHARD = 4
DIES_AFTER = 6
"""Requests that an engine survives: fewer than those of a whole shard, more than those of the last one."""


def test_a_hundred_failing_shards_end_in_a_failed_job_with_an_exact_account(
    stage: Stage, make_job: Callable[..., Job]
) -> None:
    job = make_job(documents=3, per_shard=PER_SHARD, parallelism=20, failurePolicy={"maxAttemptsPerShard": 1})
    (job.source / "b.jsonl").unlink()
    documents = FAILING * PER_SHARD + 1
    texts = [sample_text(number) for number in range(documents)]
    pq.write_table(pa.table({"text": texts}), job.source / "a.parquet")
    job.spec["worker"]["env"].append({"name": "REPHRASE_SIMULATED_DIE_AFTER", "value": str(DIES_AFTER)})
    job.apply()
    stage.wait(job.reference, "condition=Failed")
    status = job.status()
    assert job.condition("Failed")["reason"] == "ShardsFailed"
    assert f"{FAILING} of {FAILING + 1} shards failed" in status["message"]
    assert (status["shards"]["failed"], status["shards"]["succeeded"]) == (FAILING, 1)
    assert all(failure["reason"] == "EngineFailed" for failure in status["failures"])
    rows = job.rows()
    assert [(row["prompt"], row["source_position"]) for row in rows] == [
        (prompt["name"], documents - 1) for prompt in job.spec["prompts"]
    ]
    progress = status["progress"]
    assert (progress["samplesText"], progress["samplesError"]) == (len(rows), 0)
    assert progress["samplesPlanned"] == 2 * documents
