"""The whole path with the real vLLM and a real, if tiny, model."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.harness import Job, Stage
from tests.tiny_model import ensure_tiny_model


def test_the_real_engine_rephrases_a_dataset(stage: Stage, make_job: Callable[..., Job]) -> None:
    job = make_job(
        documents=6,
        per_shard=6,
        model={"name": str(ensure_tiny_model())},
        sampling={"maxTokens": 16},
        engine={
            "enforceEager": True,
            "dtype": "float32",
            "kvCacheMemoryBytes": 2**26,
            "blockSize": 32,
            "maxModelLen": 1024,
            "maxNumSeqs": 8,
            "commitIntervalSeconds": 1,
        },
    )
    job.spec["worker"]["env"].append({"name": "OMP_NUM_THREADS", "value": "1"})
    job.apply()
    stage.wait(job.reference, "condition=Complete")
    job.check_account(6)
    assert all(row["text"] is not None and row["output_tokens"] > 0 for row in job.rows())
    assert {row["model"] for row in job.rows()} == {job.spec["model"]["name"]}
    assert job.status()["progress"]["outputTokens"] == sum(row["output_tokens"] for row in job.rows())
