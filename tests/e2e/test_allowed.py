"""What a job may name: the places of its data, its model, and the variables of its pods.

All through the API server, many objects a call: kubectl says of each one whether it is refused, and why.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.e2e.harness import Stage, simulated_spec

SOURCES = "uri must be one of s3://BUCKET/path"
QUERY = "must not have a query"
CREDENTIALS = "must not carry credentials"
DOTS = "must not have .. as a part"
MODELS = "name must be one of OWNER/NAME"

GOOD_SOURCES = [
    *("s3://bucket/in", "s3://my.bucket-1/a b/*.parquet", "s3://bucket", "gs://bucket/in/**/*.jsonl"),
    *("abfs://container/in/a@b.parquet", "pvc://data/in", "pvc://data", "pvc://team.data-1/", "/data/in"),
    *("/data/odd?name#1::2/[x].jsonl", "hf://datasets/acme/web", "hf://datasets/squad"),
    *("hf://datasets/acme/web@refs/convert/parquet/default/train", "hf://datasets/acme/web@~parquet/default"),
    *("hf://datasets/acme/web@feature%2Fx/data", "hf://buckets/acme/data/in", "s3://bucket/..data/in"),
]
BAD_PLACES = {
    "http://10.0.0.1/in.jsonl": SOURCES,
    "https://host/in.jsonl": SOURCES,
    "memory://x/in": SOURCES,
    "file:///etc/passwd": SOURCES,
    "local:///etc": SOURCES,
    "ftp://host/in": SOURCES,
    "sftp://host/in": SOURCES,
    "github://org:repo@main/in": CREDENTIALS,
    "simplecache::s3://bucket/in": SOURCES,
    "S3://bucket/in": SOURCES,
    "s3a://bucket/in": SOURCES,
    "s3:bucket/in": SOURCES,
    "s3://": SOURCES,
    "s3:///in": SOURCES,
    "relative/in": SOURCES,
    "data:text/plain,x": SOURCES,
    "s3://bucket/in\nx": SOURCES,
    "s3://key:secret@bucket/in": CREDENTIALS,
    "abfs://container@account.dfs.core.windows.net/in": CREDENTIALS,
    "s3://bucket/in?X-Amz-Signature=0123": QUERY,
    "s3://bucket/in?versionId=1": QUERY,
    "s3://bucket/in#part": QUERY,
    "s3://bucket/a::zip://b": QUERY,
    "pvc://data/in?x": QUERY,
    "s3://bucket/../other": DOTS,
    "pvc://data/../other/in": DOTS,
    "pvc://data/..": DOTS,
    "/data/../etc": DOTS,
    "pvc:///in": SOURCES,
    "pvc://Data/in": SOURCES,
    "pvc://-data/in": SOURCES,
    "pvc://a..b/in": SOURCES,
}
BAD_SOURCES = BAD_PLACES | {
    "hf://acme/model/data": SOURCES,
    "hf://spaces/acme/web": SOURCES,
    "hf://datasets": SOURCES,
    "hf://datasets/": SOURCES,
    "hf://datasets/acme/web/a.parquet?download=true": QUERY,
    "hf://user:token@datasets/acme/web": CREDENTIALS,
}
GOOD_OUTPUTS = ["s3://bucket/out", "gs://bucket/out", "abfs://container/out", "pvc://data/out", "/data/out"]
BAD_OUTPUTS = BAD_PLACES | {
    "hf://datasets/me/mine": "every file would be a commit",
    "hf://buckets/me/mine": "every file would be a commit",
}
GOOD_MODELS = [
    *("HuggingFaceTB/SmolLM2-1.7B-Instruct", "gpt2", "hf://acme/tiny", "hf://acme/tiny@refs/pr/1"),
    *("pvc://models/tiny", "/models/tiny", "simulated"),
]
BAD_MODELS = {
    "s3://bucket/model": MODELS,
    "gs://bucket/model": MODELS,
    "abfs://container/model": MODELS,
    "https://huggingface.co/acme/tiny": MODELS,
    "hf://datasets/acme/web": MODELS,
    "memory://model": MODELS,
    "file:///models/tiny": MODELS,
    "./tiny": MODELS,
    "acme/tiny/extra": MODELS,
    "acme/tiny@main": MODELS,
    "../models/tiny": DOTS,
    "/models/../etc": DOTS,
    "pvc://models/../../etc": DOTS,
    "hf://token@acme/tiny": CREDENTIALS,
    "acme/tiny?x": QUERY,
    "pvc://Models/tiny": MODELS,
}
REVISIONS = [
    ("source", {"uri": "hf://datasets/acme/web", "revision": "v1"}, ""),
    ("source", {"uri": "hf://datasets/acme/web@v1/data", "revision": "v1"}, ""),
    ("source", {"uri": "hf://datasets/acme/web@a%2Fb/data", "revision": "a/b"}, ""),
    ("source", {"uri": "hf://datasets/acme/web/odd@name", "revision": "v1"}, ""),
    ("source", {"uri": "hf://datasets/acme/web@v1/data", "revision": "v2"}, "differ"),
    ("source", {"uri": "hf://datasets/squad@v1", "revision": "v2"}, "differ"),
    ("source", {"uri": "s3://bucket/in", "revision": "v1"}, "revision is for hf://datasets/ sources only"),
    ("source", {"uri": "hf://buckets/a/b", "revision": "v1"}, "revision is for hf://datasets/ sources only"),
    ("model", {"name": "acme/tiny", "revision": "v1"}, ""),
    ("model", {"name": "hf://acme/tiny@v1", "revision": "v1"}, ""),
    ("model", {"name": "hf://acme/tiny@v1", "revision": "v2"}, "differ"),
    ("model", {"name": "/models/tiny", "revision": "v1"}, "name is a folder"),
    ("model", {"name": "pvc://models/tiny", "revision": "v1"}, "name is a folder"),
]
GOOD_VARIABLES = [
    *("AWS_REGION", "AWS_ENDPOINT_URL", "HF_ENDPOINT", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "NCCL_DEBUG"),
    *("NCCL_SOCKET_IFNAME", "VLLM_CPU_KVCACHE_SPACE", "REPHRASE_SIMULATED_FAIL_EVERY"),
    "AZURE_STORAGE_TENANT_ID",
]
BAD_VARIABLES = [
    # Whose content is sent: a file, or a folder with a file `token` in it.
    *("HF_TOKEN_PATH", "HF_HOME", "HF_STORED_TOKENS_PATH", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_FEDERATED_TOKEN_FILE"),
    # What the pod's own token is sent to.
    "STORAGE_EMULATOR_HOST",
    # What runs code.
    *("PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "PATH", "HOME", "HF_MODULES_CACHE", "VLLM_PLUGINS"),
    *("OMP_TOOL_LIBRARIES", "NCCL_NET_PLUGIN", "NCCL_CONF_FILE", "FSSPEC_CONFIG_DIR", "AWS_DATA_PATH"),
    *("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "HF_HUB_TRUST_REMOTE_CODE", "VLLM_CPU_X"),
    # What the operator itself says.
    *("REPHRASE_CLAIMS", "REPHRASE_MODEL_CACHE", "TERMINATION_MESSAGE_PATH", "REPHRASE_PORT"),
    *("hf_token", "AWS_REGION ", "HTTPS_PROXY", "FSSPEC_S3_SECRET"),
]


def refusals(stage: Stage, specs: list[dict[str, Any]]) -> dict[int, str]:
    """What the API server says against each of these specs, by position; those that it takes are left out."""
    objects = [
        {
            "apiVersion": "rephrase.dev/v1alpha1",
            "kind": "RephraseJob",
            "metadata": {"name": f"case-{number}", "namespace": stage.namespace},
            "spec": spec,
        }
        for number, spec in enumerate(specs)
    ]
    manifests = "\n---\n".join(json.dumps(each) for each in objects)
    done = stage.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifests, check=False)
    taken = set(re.findall(r"rephrasejob.rephrase.dev/case-(\d+) created", done.stdout))
    said = re.split(r'RephraseJob.rephrase.dev "case-', done.stderr)[1:]
    refused = {int(text.partition('"')[0]): text for text in said}
    assert {*map(int, taken), *refused} == set(range(len(specs))), done.stderr[-1000:]
    return refused


def spec_with(stage: Stage, part: str, value: Any) -> dict[str, Any]:
    spec = simulated_spec(stage.directory)
    if part == "env":
        spec["worker"]["env"] = [value]
    else:
        spec[part] = value
    return spec


@pytest.mark.parametrize(
    ("part", "field", "good", "bad"),
    [
        ("source", "uri", GOOD_SOURCES, BAD_SOURCES),
        ("output", "uri", GOOD_OUTPUTS, BAD_OUTPUTS),
        ("model", "name", GOOD_MODELS, BAD_MODELS),
    ],
)
def test_places_are_of_the_kinds_that_pods_can_reach(
    stage: Stage, part: str, field: str, good: list[str], bad: dict[str, str]
) -> None:
    uris = [*good, *bad]
    refused = refusals(stage, [spec_with(stage, part, {field: uri}) for uri in uris])
    assert {uris[number] for number in refused} == set(bad)
    for number, text in refused.items():
        assert f"spec.{part}.{field}" in text
        assert bad[uris[number]] in text, uris[number]


def test_a_revision_is_given_once_and_only_where_there_are_some(stage: Stage) -> None:
    refused = refusals(stage, [spec_with(stage, part, value) for part, value, _ in REVISIONS])
    for number, (part, value, said) in enumerate(REVISIONS):
        assert (number in refused) == bool(said), value
        assert said in refused.get(number, "")
        assert not said or f"spec.{part}.revision" in refused[number]


def test_only_listed_variables_reach_a_pod(stage: Stage) -> None:
    names = GOOD_VARIABLES + BAD_VARIABLES
    refused = refusals(
        stage, [spec_with(stage, "env", {"name": name, "value": "/etc/passwd"}) for name in names]
    )
    assert {names[number] for number in refused} == set(BAD_VARIABLES)
    for text in refused.values():
        assert "spec.worker.env[0].name" in text
        assert "AWS_ACCESS_KEY_ID" in text, "the list of what is allowed is not in the message"


def test_an_azure_account_is_a_name_and_no_other_host(stage: Stage) -> None:
    values = ["mystorage1", "evil.example.com/", "a.b", "evil.example.com#", "My-Storage"]
    variables = [{"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": value} for value in values]
    refused = refusals(stage, [spec_with(stage, "env", variable) for variable in variables])
    assert set(refused) == {1, 2, 3, 4}
    assert all("lowercase letters and digits" in text for text in refused.values())
