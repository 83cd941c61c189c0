"""The job of the README, as it stands there: a dataset and a model of the Hub, a bucket, the real vLLM.

The Hub is a stub that huggingface_hub's own client talks to, the bucket is on a real S3 server. Pods share
nothing but these two, and the claims that a job names.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from s3fs import S3FileSystem

from tests.e2e.harness import ROOT, Job, Stage
from tests.hub.stub import StubHub, stub_hub
from tests.hub.test_datasets import parquet
from tests.tiny_model import ensure_tiny_model
from tests.worker.s3_server import ACCESS_KEY, SECRET_KEY, required_weed, s3_server

DATASET = "HuggingFaceFW/fineweb-edu"
MODEL = "acme/tiny"
PROMPTS = {"faq", "math", "table", "tutorial"}
BUCKET = "my-bucket"
SECRET = "rephrase-bucket"
FILES = {
    "sample/10BT/000_00000.parquet": [f"Otter {number} swims in the river." for number in range(2)],
    "sample/10BT/001_00000.parquet": [f"Heron {number} waits at the bank." for number in range(2)],
}
OTHER_FILE = "sample/100BT/000_00000.parquet"
ON_A_CPU = {
    "dtype": "float32",
    "enforceEager": True,
    "kvCacheMemoryBytes": 2**26,
    "blockSize": 32,
    "maxModelLen": 2048,
    "maxNumSeqs": 8,
}
WEIGHTS = r"/cdn/model/.*[.]safetensors$"
"""Downloads of weights: the Hub redirects to them."""


@pytest.fixture
def hub() -> Iterator[StubHub]:
    """A Hub with the README's dataset, in small, and the tiny model."""
    with stub_hub() as stub:
        files = {name: parquet(*texts) for name, texts in FILES.items()}
        stub.add(DATASET, "dataset").commit(files | {OTHER_FILE: parquet("Of another sample.")})
        folder = ensure_tiny_model()
        stub.add(MODEL).commit({path.name: path.read_bytes() for path in folder.iterdir()})
        yield stub


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3FileSystem]:
    """The README's bucket, on a server of these tests."""
    with s3_server(required_weed(), tmp_path_factory.mktemp("s3")) as endpoint:
        fs = S3FileSystem(key=ACCESS_KEY, secret=SECRET_KEY, endpoint_url=endpoint, use_listings_cache=False)
        fs.mkdir(BUCKET)
        fs.pipe_file(f"{BUCKET}/first", b"-")  # makes the server allocate its volumes, which takes seconds
        yield fs
        S3FileSystem.clear_instance_cache()


@pytest.fixture
def readme_job(
    stage: Stage, hub: StubHub, bucket: S3FileSystem, tmp_path: Path
) -> Iterator[Callable[..., Job]]:
    """Makes the README's job with the tiny model, and with what this machine's Hub, bucket and CPU need."""
    made: list[Job] = []
    credentials = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "HF_TOKEN": hub.token,
    }

    def make(name: str, **worker: Any) -> Job:
        (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        spec = yaml.safe_load(block)["spec"]
        spec["model"]["name"] = MODEL
        # One destination holds one job's dataset.
        spec["output"]["uri"] = spec["output"]["uri"].replace("finephrase", name)
        environment = {
            "HF_ENDPOINT": hub.url,
            "AWS_ENDPOINT_URL": bucket.endpoint_url,
            "AWS_REGION": "us-east-1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_DISABLE_XET": "1",  # which the stub does not speak
        }
        env: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in environment.items()]
        env += [{"name": key, "secretKeyRef": {"name": SECRET, "key": key}} for key in credentials]
        spec |= {"sampling": {"maxTokens": 16}, "engine": ON_A_CPU, "worker": {"env": env, **worker}}
        made.append(Job(stage, name, tmp_path, spec))
        return made[-1]

    stage.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": stage.namespace},
            "stringData": credentials,
        }
    )
    yield make
    for job in made:
        stage.kubectl("delete", job.reference, "--ignore-not-found", "--wait=false")


def apply_claim(stage: Stage, name: str) -> None:
    """A PersistentVolumeClaim."""
    stage.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": stage.namespace},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )


def check_dataset(job: Job, hub: StubHub, bucket: S3FileSystem) -> None:
    """Every document is in the bucket once for every prompt, made from the commits that the plan names."""
    model = hub.repositories["model", MODEL].names["main"]
    source = hub.repositories["dataset", DATASET].names["main"]
    plan = job.status()["plan"]
    assert (plan["modelRevision"], plan["sourceRevision"]) == (model, source)
    assert (plan["documents"], plan["files"]) == (4, 2)
    output = job.spec["output"]["uri"].removeprefix("s3://")
    rows = [
        row
        for prompt in PROMPTS
        for path in bucket.glob(f"{output}/{prompt}/*.parquet")
        for row in pq.read_table(io.BytesIO(bucket.cat_file(path))).to_pylist()
    ]
    keys = Counter(
        (row["prompt"], Path(row["source_file"]).name, row["source_position"], row["rollout"]) for row in rows
    )
    assert keys == {
        (prompt, Path(file).name, position, 0): 1
        for prompt in PROMPTS
        for file, texts in FILES.items()
        for position in range(len(texts))
    }
    assert all(row["text"] and row["error"] is None for row in rows)
    assert {(row["model"], row["revision"]) for row in rows} == {(MODEL, model)}


def check_published(job: Job, hub: StubHub, bucket: S3FileSystem, name: str) -> None:
    """The repository holds the dataset file by file, and the token is nowhere."""
    repository = hub.repositories["dataset", name]
    there = dict(repository.commits[repository.names["main"]])
    there.pop(".gitattributes")
    output = job.spec["output"]["uri"].removeprefix("s3://")
    assert there == {path.removeprefix(f"{output}/"): bucket.cat_file(path) for path in bucket.find(output)}
    status = job.status()
    assert status["published"] == {
        "repository": name,
        "revision": repository.names["main"],
        "files": len(there),
        "bytes": sum(map(len, there.values())),
    }
    assert hub.token not in json.dumps(status)
    assert not [path for path, content in there.items() if hub.token.encode() in content]


def test_the_readme_job_runs_and_every_worker_fetches_the_pinned_model(
    stage: Stage, hub: StubHub, bucket: S3FileSystem, readme_job: Callable[..., Job]
) -> None:
    job = readme_job("finephrase")
    job.spec |= {"sharding": {"documentsPerShard": 2}, "publish": {"repository": "me/finephrase"}}
    job.apply()
    job.wait_phase("Succeeded")
    assert job.status()["shards"]["succeeded"] == 2
    check_dataset(job, hub, bucket)
    check_published(job, hub, bucket, "me/finephrase")
    # One download a worker, so the plan step had none; each of the commit, so nobody asked for a branch.
    commit = hub.repositories["model", MODEL].names["main"]
    assert hub.requests(WEIGHTS, "GET") == [f"/cdn/model/{MODEL}%40{commit}/model.safetensors"] * 2


def test_with_a_cache_on_a_claim_the_plan_step_alone_fetches_the_model(
    stage: Stage, hub: StubHub, bucket: S3FileSystem, readme_job: Callable[..., Job]
) -> None:
    apply_claim(stage, "models")
    job = readme_job("shared-cache", modelCacheClaim="models")
    job.spec["parallelism"] = 0
    job.apply()
    job.wait_until(lambda status: "plan" in status)
    assert len(hub.requests(WEIGHTS, "GET")) == 1
    hub.forget()
    job.patch(parallelism=1)
    job.wait_phase("Succeeded")
    check_dataset(job, hub, bucket)
    assert hub.requests(DATASET)
    assert not hub.requests(MODEL), "a worker asked the Hub for the model"


def test_source_and_output_on_claims_are_called_by_the_claims(
    stage: Stage, make_job: Callable[..., Job]
) -> None:
    for name in ("web", "datasets"):
        apply_claim(stage, name)
    job = make_job(source={"uri": "pvc://web/in"}, output={"uri": "pvc://datasets/finephrase"})
    claim = stage.claim_folder("web")
    claim.mkdir(parents=True, exist_ok=True)
    job.source.rename(claim / "in")
    job.apply()
    job.wait_phase("Succeeded")
    output = stage.claim_folder("datasets") / "finephrase"
    job.output.symlink_to(output)
    job.check_account(12)
    recipe = json.loads((output / "_rephrase" / "recipe.json").read_text())
    assert (recipe["source"]["uri"], recipe["output"]["uri"]) == ("pvc://web/in", "pvc://datasets/finephrase")
    assert "pvc://web/in" in (output / "README.md").read_text()
    mounted = [str(claim.parent), "/pvc/"]
    written = [path for path in output.rglob("*") if path.suffix in (".json", ".md", ".html")]
    assert not [path for path in written for place in mounted if place in path.read_text()]
