"""A job whose prompt drops outputs without its structure, through kubectl."""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow.parquet as pq

from rephrase_worker.verify import Outcome, verify
from tests.e2e.harness import Job

MakeJob = Callable[..., Job]


def test_a_job_that_leaves_outputs_out_succeeds_and_accounts_for_them(make_job: MakeJob) -> None:
    # The simulated engine writes one line of prose: neither questions with answers nor a list.
    prompts = [{"name": "faq", "unstructured": "Drop"}, {"name": "math"}]
    job = make_job(documents=12, per_shard=5, prompts=prompts).apply()
    job.wait_phase("Succeeded")
    status = job.status()
    progress = status["progress"]
    assert (progress["percent"], progress["samplesPlanned"], progress["samplesText"]) == ("100%", 24, 12)
    assert progress["samplesFiltered"] == status["dataset"]["samplesFiltered"] == 12
    assert "12 left out" in status["message"]
    account = json.loads((job.output / "_rephrase" / "account.json").read_text())["prompts"]
    assert (account["faq"]["planned"], account["faq"]["text"], account["faq"]["filtered"]) == (12, 0, 12)
    assert (account["math"]["text"], account["math"]["filtered"]) == (12, 0)
    assert pq.read_table(job.output / "faq").num_rows == 0
    assert pq.read_table(job.output / "math").num_rows == 12
    result = verify(str(job.output))
    assert (result.outcome, result.faults, result.filtered) == (Outcome.COMPLETE, [], 12)
