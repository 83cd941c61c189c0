"""hf:// sources: every form of a revision is pinned to its commit, through huggingface_hub's own client."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rephrase_worker.planner.pinning import pin_dataset
from rephrase_worker.spec import ExitCode, Reason, Source, WorkerError
from tests.hub.stub import StubHub


def parquet(*texts: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts)}), file)
    return file.getvalue()


@pytest.fixture
def web(hub: StubHub) -> dict[str, str]:
    """The dataset acme/web; commits by what they are called."""
    repository = hub.add("acme/web", "dataset")
    names = ("main", "v1", "refs/convert/parquet", "refs/pr/3", "feature/x")
    return {name: repository.commit({"data/a.parquet": parquet(name)}, name) for name in names}


@pytest.mark.parametrize(
    ("uri", "revision", "name", "rest"),
    [
        ("hf://datasets/acme/web", None, "main", ""),
        ("hf://datasets/acme/web/", None, "main", ""),
        ("hf://datasets/acme/web/data/*.parquet", None, "main", "/data/*.parquet"),
        ("hf://datasets/acme/web/data", "v1", "v1", "/data"),
        ("hf://datasets/acme/web@v1/data", None, "v1", "/data"),
        ("hf://datasets/acme/web@v1/data", "v1", "v1", "/data"),
        ("hf://datasets/acme/web@refs/convert/parquet/data", None, "refs/convert/parquet", "/data"),
        ("hf://datasets/acme/web@refs%2Fconvert%2Fparquet/data", None, "refs/convert/parquet", "/data"),
        ("hf://datasets/acme/web@~parquet/data", None, "refs/convert/parquet", "/data"),
        ("hf://datasets/acme/web/data", "refs/convert/parquet", "refs/convert/parquet", "/data"),
        ("hf://datasets/acme/web@refs/pr/3/data", None, "refs/pr/3", "/data"),
        ("hf://datasets/acme/web@feature%2Fx/data", None, "feature/x", "/data"),
        ("hf://datasets/acme/web@feature%2Fx/data", "feature/x", "feature/x", "/data"),
        ("hf://datasets/acme/web/odd@name.parquet", None, "main", "/odd@name.parquet"),
    ],
)
def test_a_dataset_is_pinned_to_a_commit_in_its_path(
    web: dict[str, str], uri: str, revision: str | None, name: str, rest: str
) -> None:
    commit = web[name]
    assert pin_dataset(Source(uri=uri, revision=revision)) == (
        f"hf://datasets/acme/web@{commit}{rest}",
        commit,
    )


def test_a_commit_stays_what_it_is(web: dict[str, str]) -> None:
    uri = f"hf://datasets/acme/web@{web['v1']}/data"
    assert pin_dataset(Source(uri=uri)) == (uri, web["v1"])


@pytest.mark.parametrize(("uri", "rest"), [("squad", ""), ("squad/plain", "/plain"), ("squad@main", "")])
def test_a_dataset_without_an_owner_gets_the_name_that_the_hub_has_for_it(
    hub: StubHub, uri: str, rest: str
) -> None:
    commit = hub.add("rajpurkar/squad", "dataset").commit({"plain/a.parquet": parquet("a")})
    hub.renamed["dataset", "squad"] = "rajpurkar/squad"
    pinned = f"hf://datasets/rajpurkar/squad@{commit}{rest}"
    assert pin_dataset(Source(uri=f"hf://datasets/{uri}")) == (pinned, commit)


@pytest.mark.parametrize("uri", ["/data", "s3://bucket/in", "pvc://claim/in", "hf://buckets/acme/data/in"])
def test_sources_elsewhere_stay_as_they_are(uri: str) -> None:
    assert pin_dataset(Source(uri=uri)) == (uri, None)


@pytest.mark.parametrize(
    ("uri", "revision", "reason", "code", "said"),
    [
        ("acme/other", None, Reason.SOURCE_NOT_FOUND, ExitCode.CONFIG, "not on the Hub, or needs a token"),
        ("acme/web@v9", None, Reason.SOURCE_NOT_FOUND, ExitCode.CONFIG, "no such revision"),
        ("acme/web@v1", "main", Reason.INVALID_RECIPE, ExitCode.USAGE, "Give one of them"),
        ("acme/web@/data", None, Reason.SOURCE_NOT_FOUND, ExitCode.CONFIG, "no URI of a dataset"),
    ],
)
def test_what_can_not_be_pinned_is_refused_while_planning(
    web: dict[str, str], uri: str, revision: str | None, reason: Reason, code: ExitCode, said: str
) -> None:
    with pytest.raises(WorkerError) as caught:
        pin_dataset(Source(uri=f"hf://datasets/{uri}", revision=revision))
    assert (caught.value.failure.reason, caught.value.exit_code) == (reason, code)
    assert said in caught.value.failure.message


def test_a_gated_dataset_and_a_busy_hub(hub: StubHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    commit = hub.add("acme/gated", "dataset", gated=True).commit({"a.parquet": parquet("a")})
    hub.fail("/api/datasets/", 2, 429, Retry_After="0")
    assert pin_dataset(Source(uri="hf://datasets/acme/gated"))[1] == commit
    hub.fail("/api/datasets/", 9, 403, X_Error_Code="GatedRepo")
    with pytest.raises(WorkerError, match="Accept its terms"):
        pin_dataset(Source(uri="hf://datasets/acme/gated"))
