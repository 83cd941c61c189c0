"""Publishing to the Hub: everything arrives once, whatever fails on the way, and foreign content is left
alone.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download
from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator import cli
from rephrase_worker import layout
from rephrase_worker.finalizer import finalize
from rephrase_worker.planner import plan
from rephrase_worker.publisher import publish
from rephrase_worker.publisher.batches import Pace, batches
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import ExitCode, Mix, Publish, PublishReport, Reason, Recipe, Source, WorkerError
from rephrase_worker.store import Store, StoredFile
from rephrase_worker.verify import Depth, Outcome, verify
from tests.hub.stub import Repository, StubHub
from tests.hub.writes import Refused
from tests.worker.builders import (
    make_recipe,
    positions,
    read_documents,
    samples_of,
    shard_plans,
    write_parquet,
)

TO = Publish(repository="me/data")

# huggingface_hub's own way of uploading without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class SteppingClock:
    """A clock that goes on only while somebody waits."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    def wait(self, seconds: float, wake: threading.Event) -> None:
        self.time += seconds


@pytest.fixture(autouse=True)
def _account(hub: StubHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    few = partial(batches, most_files=3)
    monkeypatch.setattr("rephrase_worker.publisher.publisher.batches", few)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A finished dataset: 3 shards, 2 prompts, and a file that is large for the Hub."""
    root = tmp_path_factory.mktemp("finished")
    write_parquet(root / "in" / "a.parquet", [f"text {n}" for n in range(6)])
    recipe = make_recipe(root / "in", root / "out", prompts=("faq", "math"), documents_per_shard=2)
    plan(recipe)
    for shard in shard_plans(recipe):
        documents = read_documents(recipe, shard)
        sink = ShardSink(Store(recipe.output.uri), recipe, shard, "pod")
        sink.commit(samples_of(recipe, documents, text="long " * 4000))
        sink.finish(positions(documents))
    finalize(recipe)
    return recipe


@pytest.fixture
def dataset(finished: Recipe, tmp_path: Path) -> Iterator[Recipe]:
    """The finished dataset, which is for this test to change."""
    root = Path(finished.output.uri)
    shutil.copytree(root, tmp_path / "as-it-was")
    yield finished
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "as-it-was", root)


def files_of(recipe: Recipe) -> dict[str, bytes]:
    root = Path(recipe.output.uri)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def head(repository: Repository) -> dict[str, bytes]:
    """What the repository holds, without the Hub's own file."""
    files = dict(repository.commits[repository.names["main"]])
    files.pop(".gitattributes", None)
    return files


def repository_of(hub: StubHub) -> Repository:
    return hub.repositories["dataset", "me/data"]


def published(recipe: Recipe, to: Publish = TO) -> PublishReport:
    return publish(recipe, to, clock=SteppingClock())


def refused(recipe: Recipe, to: Publish = TO) -> str:
    with pytest.raises(WorkerError) as caught:
        published(recipe, to)
    assert caught.value.failure.reason is Reason.REPOSITORY_REFUSED
    assert caught.value.exit_code is ExitCode.CONFIG
    return str(caught.value)


def test_the_repository_holds_the_dataset_file_by_file(hub: StubHub, dataset: Recipe) -> None:
    report = published(dataset)
    there = repository_of(hub)
    assert head(there) == files_of(dataset)
    assert there.private is True
    assert (report.files, report.revision) == (len(files_of(dataset)), there.names["main"])
    assert report.bytes == sum(map(len, files_of(dataset).values()))
    assert report.commits == len(hub.writes.subjects)


def test_a_whole_mix_is_published_with_the_dataset(hub: StubHub, dataset: Recipe, tmp_path: Path) -> None:
    write_parquet(tmp_path / "original" / "o.parquet", ["long " * 4000] * 20)
    assert cli.main(["mix", dataset.output.uri, "--original", str(tmp_path / "original")]) == 0
    published(dataset)
    there = head(repository_of(hub))
    assert there == files_of(dataset)
    assert "mix/shard-00000.parquet" in there
    assert "mix/*.parquet" in there[layout.CARD].decode()


def test_more_files_of_a_mix_than_a_folder_of_the_hub_takes_are_refused(hub: StubHub, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", ["text"])
    recipe = make_recipe(tmp_path / "in", tmp_path / "out").model_copy(
        update={"publish": TO, "mix": Mix(source=Source(uri=str(tmp_path / "in")), shards=9_501)}
    )
    with pytest.raises(WorkerError, match=r"Set mix\.shards to 9500 or fewer"):
        plan(recipe)


def test_the_recipe_comes_first_and_the_card_last(hub: StubHub, dataset: Recipe) -> None:
    published(dataset)
    commits = list(repository_of(hub).commits.values())
    assert [layout.RECIPE in files for files in commits] == [False] + [True] * (len(commits) - 1)
    assert [layout.CARD in files for files in commits] == [False] * (len(commits) - 1) + [True]


def test_publishing_again_commits_nothing(hub: StubHub, dataset: Recipe) -> None:
    published(dataset)
    before = len(hub.writes.subjects)
    assert published(dataset).commits == 0
    assert len(hub.writes.subjects) == before


def test_a_changed_card_is_published_alone(hub: StubHub, dataset: Recipe) -> None:
    published(dataset)
    card = Path(dataset.output.uri) / layout.CARD
    card.write_text(card.read_text() + "\nMore.\n")
    assert published(dataset).commits == 1
    assert head(repository_of(hub)) == files_of(dataset)


@pytest.mark.parametrize("group", range(5))
def test_a_publication_that_dies_after_any_commit_goes_on(hub: StubHub, dataset: Recipe, group: int) -> None:
    seen = iter(range(100))

    def die(done: int, of: int) -> None:
        if next(seen) == group:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(dataset, TO, clock=SteppingClock(), progress=die)
    published(dataset)
    assert head(repository_of(hub)) == files_of(dataset)
    subjects = hub.writes.subjects
    assert len(subjects) == len(set(subjects)), "a commit was made twice"


FAULTS = [
    ("/commit/main", 409, {}),
    ("/commit/main", 412, {}),
    ("/commit/main", 429, {"Retry_After": "1800"}),
    ("/commit/main", 500, {}),
    ("/commit/main", 503, {}),
    ("/preupload/main", 503, {}),
    ("/info/lfs/objects/batch", 429, {"Retry_After": "1"}),
    ("/tree/main", 503, {}),
    ("/api/repos/create", 503, {}),
    ("/api/whoami-v2", 429, {"Retry_After": "1"}),
]


@pytest.mark.parametrize(("pattern", "status", "headers"), FAULTS)
def test_what_passes_is_tried_again(
    hub: StubHub,
    dataset: Recipe,
    pattern: str,
    status: int,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # huggingface_hub's own pauses
    hub.fail(pattern, 2, status, **headers)
    published(dataset)
    assert head(repository_of(hub)) == files_of(dataset)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: StubHub, dataset: Recipe) -> None:
    hub.writes.lose_answers = 2
    published(dataset)
    assert head(repository_of(hub)) == files_of(dataset)
    assert len(hub.writes.subjects) == len(set(hub.writes.subjects))


def test_commits_of_others_are_kept(hub: StubHub, dataset: Recipe) -> None:
    def somebody(done: int, of: int) -> None:
        there = repository_of(hub)
        there.commit(there.commits[there.names["main"]] | {"LICENSE": b"text"})

    publish(dataset, TO, clock=SteppingClock(), progress=somebody)
    assert head(repository_of(hub)) == files_of(dataset) | {"LICENSE": b"text"}


def test_a_repository_with_other_content_is_not_touched(hub: StubHub, dataset: Recipe) -> None:
    mine = {"README.md": b"mine", "data.csv": b"1", ".gitattributes": b""}
    before = hub.add("me/data", "dataset").commit(mine)
    message = refused(dataset)
    assert "README.md and 1 more files" in message
    assert repository_of(hub).names["main"] == before


def test_a_repository_of_another_job_is_not_touched(hub: StubHub, dataset: Recipe) -> None:
    before = hub.add("me/data", "dataset").commit({layout.RECIPE: b"{}"})
    assert "another job or recipe" in refused(dataset)
    assert repository_of(hub).names["main"] == before


def test_a_foreign_file_among_the_samples_is_named(hub: StubHub, dataset: Recipe) -> None:
    published(dataset)
    there = repository_of(hub)
    there.commit(there.commits[there.names["main"]] | {"faq/extra.parquet": b"x"})
    assert "faq/extra.parquet" in refused(dataset)


def test_without_a_token_nothing_is_asked(
    hub: StubHub, dataset: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "HF_TOKEN" in refused(dataset)
    assert hub.requests() == []


@pytest.mark.parametrize("exists", [True, False])
def test_a_token_that_may_only_read_is_refused(
    hub: StubHub, dataset: Recipe, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.writes.readers.add("hf_reader")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    if exists:
        hub.add("me/data", "dataset").commit({})
    assert "the Hub answers 403. Check HF_TOKEN" in refused(dataset)


def test_an_owner_that_the_account_may_not_write_for_is_refused(hub: StubHub, dataset: Recipe) -> None:
    assert "the Hub answers 403" in refused(dataset, Publish(repository="others/data"))


def test_a_token_that_expires_on_the_way_loses_nothing(
    hub: StubHub, dataset: Recipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    old = hub.token

    def expire(done: int, of: int) -> None:
        hub.token = "hf_new"

    with pytest.raises(WorkerError) as caught:
        publish(dataset, TO, clock=SteppingClock(), progress=expire)
    assert caught.value.failure.reason is Reason.REPOSITORY_REFUSED
    assert "the Hub answers 401. Check HF_TOKEN" in str(caught.value)
    assert old not in caplog.text + str(caught.value), "the token must never be logged"
    monkeypatch.setenv("HF_TOKEN", "hf_new")
    published(dataset)
    assert head(repository_of(hub)) == files_of(dataset)
    assert len(hub.writes.subjects) == len(set(hub.writes.subjects))
    assert "hf_new" not in caplog.text


def test_a_dataset_that_is_not_finalized_is_refused(hub: StubHub, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", ["text"])
    recipe = make_recipe(tmp_path / "in", tmp_path / "out")
    plan(recipe)
    with pytest.raises(WorkerError) as caught:
        published(recipe)
    assert caught.value.failure.reason is Reason.DATASET_INCOMPLETE
    assert hub.repositories == {}


def test_a_dataset_with_shards_missing_is_published_only_when_asked(hub: StubHub, dataset: Recipe) -> None:
    root = Path(dataset.output.uri)
    for path in (layout.manifest(1), layout.sample_file("faq", 1), layout.sample_file("math", 1)):
        (root / path).unlink()
    finalize(dataset)
    with pytest.raises(WorkerError, match="the shards 1 are missing") as caught:
        published(dataset)
    assert caught.value.failure.reason is Reason.DATASET_INCOMPLETE
    publish(dataset, TO, incomplete=True, clock=SteppingClock())
    assert head(repository_of(hub)) == files_of(dataset)


def test_planning_creates_and_claims_the_repository(hub: StubHub, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", ["text"])
    recipe = make_recipe(tmp_path / "in", tmp_path / "out").model_copy(update={"publish": TO})
    plan(recipe)
    assert head(repository_of(hub)) == {layout.RECIPE: Store(recipe.output.uri).read(layout.RECIPE)}
    plan(recipe)
    other = make_recipe(tmp_path / "in", tmp_path / "other", job="other").model_copy(update={"publish": TO})
    with pytest.raises(WorkerError, match="another job or recipe"):
        plan(other)


def test_planning_refuses_a_repository_before_it_claims_the_output(hub: StubHub, tmp_path: Path) -> None:
    hub.add("me/data", "dataset").commit({"data.csv": b"1"})
    write_parquet(tmp_path / "in" / "a.parquet", ["text"])
    recipe = make_recipe(tmp_path / "in", tmp_path / "out").model_copy(update={"publish": TO})
    with pytest.raises(WorkerError, match=r"it holds data\.csv"):
        plan(recipe)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_job_with_more_shards_than_a_folder_of_the_hub_takes_is_refused(
    hub: StubHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rephrase_worker.planner.publishing.MOST_SHARDS", 3)
    write_parquet(tmp_path / "in" / "a.parquet", ["text"] * 10)
    recipe = make_recipe(tmp_path / "in", tmp_path / "out", documents_per_shard=1)
    with pytest.raises(WorkerError, match=r"Set sharding\.documentsPerShard to 5 or more"):
        plan(recipe.model_copy(update={"publish": TO}))
    larger = make_recipe(tmp_path / "in", tmp_path / "out", documents_per_shard=5)
    assert plan(larger.model_copy(update={"publish": TO})).shards == 2


def test_a_killed_command_leaves_what_the_next_one_finishes(
    hub: StubHub, dataset: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    """With SIGKILL, in the middle of the second commit, in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        if len(hub.writes.subjects) == 1:
            started[0].send_signal(signal.SIGKILL)
            raise Refused(503)

    hub.writes.before_commit = kill
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    words = ["publish", dataset.output.uri, "--to", "me/data"]
    command = [sys.executable, "-m", "rephrase_operator.cli", *words]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        started.append(process)
        assert process.wait() == -signal.SIGKILL
    hub.writes.before_commit = None
    assert head(repository_of(hub)) != files_of(dataset)
    assert cli.main(["publish", dataset.output.uri, "--to", "me/data"]) == 0
    assert "are in me/data at" in capsys.readouterr().out
    assert head(repository_of(hub)) == files_of(dataset)


@pytest.mark.parametrize("name", ["data", "me/", "me/a/b", "me/data:x", "../x"])
def test_a_name_that_is_no_repository_is_refused(
    hub: StubHub, dataset: Recipe, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["publish", dataset.output.uri, "--to", name]) == ExitCode.USAGE
    assert "expected OWNER/NAME" in capsys.readouterr().err


@given(st.lists(st.integers(0, 10)), st.integers(1, 5), st.integers(1, 20))
def test_groups_keep_order_and_limits(sizes: list[int], most_files: int, most_bytes: int) -> None:
    files = [StoredFile(str(number), size) for number, size in enumerate(sizes)]
    found = list(batches(files, most_files=most_files, most_bytes=most_bytes))
    assert [file for group in found for file in group] == files
    for group in found:
        assert 1 <= len(group) <= most_files
        assert len(group) == 1 or sum(file.size for file in group) <= most_bytes


def test_no_hour_has_more_commits_than_allowed() -> None:
    clock = SteppingClock()
    pace = Pace(clock, most=10, seconds=3600)
    turns = []
    for number in range(45):
        pace.wait()
        turns.append(clock.now())
        clock.time += number % 7
    assert all(late - early >= 3600 for early, late in zip(turns, turns[10:], strict=False))
    assert clock.now() < 5 * 3600


def test_what_is_published_proves_itself_on_the_hub_and_when_it_is_downloaded(
    hub: StubHub, dataset: Recipe, tmp_path: Path
) -> None:
    published(dataset)
    there = verify("hf://datasets/me/data")
    assert (there.outcome, there.faults, there.rows) == (Outcome.COMPLETE, [], 12)
    folder = snapshot_download("me/data", repo_type="dataset", local_dir=tmp_path / "downloaded")
    here = verify(folder, depth=Depth.CONTENT)
    assert (here.outcome, here.faults, here.rows) == (Outcome.COMPLETE, [], 12)
