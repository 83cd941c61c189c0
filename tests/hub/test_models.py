"""Models of the Hub: pinned by their small files, fetched whole by commit, whatever the Hub answers first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rephrase_worker.hub import Hub
from rephrase_worker.models import delivery
from rephrase_worker.spec import ExitCode, Model, Reason, WorkerError
from tests.hub.stub import Repository, StubHub

SMALL = {"config.json": b"{}", "tokenizer.json": b"{}", "chat_template.jinja": b"x"}
WEIGHTS = bytes(range(256)) * 300
TINY = SMALL | {"model.safetensors": WEIGHTS, "README.md": b"# Tiny", "modeling_tiny.py": b"raise SystemExit"}


@pytest.fixture
def tiny(hub: StubHub) -> Repository:
    return hub.add("acme/tiny")


def failure_of(run: Callable[[], object]) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        run()
    return caught.value


def pin(name: str = "acme/tiny", revision: str | None = None) -> delivery.PinnedModel:
    return delivery.pin(Model(name=name, revision=revision), {})


def fetch(commit: str | None, name: str = "acme/tiny", *, local_only: bool = False) -> Path:
    return delivery.fetch(Model(name=name), commit, {}, local_only=local_only)


@pytest.mark.parametrize(
    "revision", [None, "main", "v1", "refs/pr/3", "feature/x", "commit", "hf://acme/tiny@feature%2Fx"]
)
def test_a_model_is_pinned_to_a_commit_without_its_weights(
    hub: StubHub, tiny: Repository, revision: str | None
) -> None:
    commit = tiny.commit(TINY, "main", "v1", "refs/pr/3", "feature/x")
    if revision is not None and revision.startswith("hf://"):
        pinned = pin(revision)
    else:
        pinned = pin(revision=commit if revision == "commit" else revision)
    assert pinned.commit == commit
    assert {path.name for path in pinned.folder.iterdir()} == set(SMALL)
    assert not hub.requests("safetensors|README|[.]py")


def test_what_was_pinned_is_what_is_fetched_though_the_branch_moves_on(
    hub: StubHub, tiny: Repository
) -> None:
    commit = pin_at = tiny.commit(TINY)
    assert pin().commit == commit
    tiny.commit(TINY | {"model.safetensors": b"other" * 5000})
    folder = fetch(pin_at)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert {path.name for path in folder.iterdir()} == {*SMALL, "model.safetensors"}
    hub.forget()
    assert fetch(pin_at) == folder
    assert not hub.requests("resolve|cdn"), "what is there is asked for again"


@pytest.mark.parametrize(
    ("files", "weights"),
    [
        ({"pytorch_model.bin": b"w", "training_args.bin": b"t", "optimizer.pt": b"o"}, {"pytorch_model.bin"}),
        ({"model.safetensors": b"w", "pytorch_model.bin": b"w"}, {"model.safetensors"}),
        ({"model.pt": b"w", "scheduler.pt": b"s"}, {"model.pt"}),
        ({"model.safetensors": b"w", "consolidated.safetensors": b"w"}, {"model.safetensors"}),
        (
            {"model.safetensors": b"w", "original/consolidated.00.pth": b"w", "onnx/model.onnx": b"w"},
            {"model.safetensors"},
        ),
        (
            {
                "model-00001-of-00002.safetensors": b"1",
                "model-00002-of-00002.safetensors": b"2",
                "model.safetensors.index.json": json.dumps(
                    {
                        "weight_map": {
                            "a": "model-00001-of-00002.safetensors",
                            "b": "model-00002-of-00002.safetensors",
                        }
                    }
                ).encode(),
            },
            {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
        ),
        (
            {
                "pytorch_model-1.bin": b"1",
                "pytorch_model.bin.index.json": b'{"weight_map": {"a": "pytorch_model-1.bin"}}',
            },
            {"pytorch_model-1.bin"},
        ),
    ],
)
def test_weights_are_fetched_in_the_one_format_that_vllm_will_load(
    tiny: Repository, files: dict[str, bytes], weights: set[str]
) -> None:
    commit = tiny.commit(SMALL | files)
    pin()
    found = {path.name for path in fetch(commit).iterdir()} - set(SMALL)
    assert {name for name in found if not name.endswith(".json")} == weights


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"model-q4.gguf": b"w"}, "weights in .gguf only"),
        ({"tf_model.h5": b"w", "flax_model.msgpack": b"w"}, "weights in .h5, .msgpack only"),
        ({"onnx/model.onnx": b"w"}, "has no weights"),
        ({"optimizer.bin": b"w"}, "has no weights"),
        ({"model.safetensors": b"w", "config.json": b""}, ""),
        (
            {
                "model-1.safetensors": b"w",
                "model.safetensors.index.json": b'{"weight_map": {"a": "gone.safetensors"}}',
            },
            "lacks weights that model.safetensors.index.json names: gone.safetensors",
        ),
        (
            {"model-1.safetensors": b"w", "model.safetensors.index.json": b"secret text"},
            "is no index of weights",
        ),
    ],
)
def test_a_model_that_vllm_can_not_load_is_refused_while_planning(
    hub: StubHub, tiny: Repository, files: dict[str, bytes], said: str
) -> None:
    tiny.commit(SMALL | files)
    if not said:
        pin()
        return
    error = failure_of(pin)
    assert error.failure.reason is Reason.MODEL_NOT_FOUND
    assert error.exit_code == ExitCode.CONFIG
    assert said in error.failure.message
    assert "acme/tiny" in error.failure.message
    assert "secret" not in error.failure.message
    assert not hub.requests(r"[.](safetensors|bin|gguf|h5)$")


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "has no config.json"), ("tokenizer.json", "has no tokenizer")],
)
def test_a_repository_that_is_no_model_is_refused(tiny: Repository, missing: str, said: str) -> None:
    tiny.commit({name: content for name, content in TINY.items() if name != missing})
    assert said in failure_of(pin).failure.message


def test_an_adapter_is_called_one(tiny: Repository) -> None:
    tiny.commit({"adapter_config.json": b"{}", "adapter_model.safetensors": b"w", "tokenizer.json": b"{}"})
    assert "is an adapter" in failure_of(pin).failure.message


def test_a_missing_model_and_a_missing_revision_are_told_apart(tiny: Repository) -> None:
    tiny.commit(TINY)
    error = failure_of(lambda: pin("acme/other"))
    assert (error.failure.reason, error.exit_code) == (Reason.MODEL_NOT_FOUND, ExitCode.CONFIG)
    assert "not on the Hub, or needs a token" in error.failure.message
    error = failure_of(lambda: pin(revision="v9"))
    assert (error.failure.reason, error.exit_code) == (Reason.MODEL_NOT_FOUND, ExitCode.CONFIG)
    assert "no such revision" in error.failure.message


def test_a_gated_model_says_what_to_do_and_opens_with_the_token(
    hub: StubHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("acme/gated", gated=True).commit(TINY)
    for token in (None, "hf_of_somebody_else"):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        error = failure_of(lambda: pin("acme/gated"))
        assert (error.failure.reason, error.exit_code) == (Reason.MODEL_NOT_FOUND, ExitCode.CONFIG)
        assert "Accept its terms" in error.failure.message
        assert "HF_TOKEN" in error.failure.message
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert pin("acme/gated").commit == commit
    assert (fetch(commit, "acme/gated") / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "pattern", ["/api/models/", "resolve/[^/]*/config.json", "resolve/[^/]*/model.safetensors", "/cdn/"]
)
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry_After": "0"}),
        (503, {"Retry_After": "0"}),
        (500, {}),
        (429, {"RateLimit": '"api";r=0;t=0'}),
    ],
)
def test_what_passes_is_waited_for(
    hub: StubHub,
    tiny: Repository,
    pattern: str,
    status: int,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    commit = tiny.commit(TINY)
    hub.fail(pattern, 3, status, **headers)
    assert pin().commit == commit
    assert (fetch(commit) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_connection_that_is_cut_in_mid_file_goes_on_where_it_was(
    hub: StubHub, tiny: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    commit = tiny.commit(TINY)
    hub.cut("/cdn/", 7, 10_000)
    hub.cut("resolve/[^/]*/tokenizer.json", 2, 1)
    assert (fetch(commit) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_worker_that_fails_to_fetch_is_tried_again_elsewhere(hub: StubHub, tiny: Repository) -> None:
    tiny.commit(TINY)
    error = failure_of(lambda: fetch("0" * 40))
    assert (error.failure.reason, error.exit_code) == (Reason.MODEL_NOT_FOUND, ExitCode.INTERNAL)


def test_with_a_shared_cache_a_worker_asks_the_hub_nothing(hub: StubHub, tiny: Repository) -> None:
    commit = tiny.commit(TINY)
    folder = fetch(commit)
    hub.forget()
    assert fetch(commit, local_only=True) == folder
    assert not hub.requests()


@pytest.mark.parametrize("planned", [False, True])
def test_a_worker_whose_shared_cache_lacks_the_model_says_so_and_is_tried_again(
    hub: StubHub, tiny: Repository, planned: bool
) -> None:
    """As it was when the planner fetched the model into its own pod."""
    commit = tiny.commit(TINY)
    if planned:
        pin()
    error = failure_of(lambda: fetch(commit, local_only=True))
    assert (error.failure.reason, error.exit_code) == (Reason.MODEL_NOT_FOUND, ExitCode.INTERNAL)
    assert ("has no weights" if planned else "modelCacheClaim") in error.failure.message


class Clock:
    """Time that passes while one sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def ask(hub: StubHub, clock: Clock) -> WorkerError:
    import huggingface_hub

    asking = Hub(
        "the model acme/tiny",
        Reason.MODEL_NOT_FOUND,
        sleep=clock.sleep,
        now=lambda: clock.now,
        patience=900,
    )
    return failure_of(lambda: asking.ask("The description", lambda: huggingface_hub.model_info("acme/tiny")))


def test_a_hub_that_goes_on_failing_ends_the_command_after_a_while(hub: StubHub, tiny: Repository) -> None:
    hub.fail("/api/", 10_000, 503)
    clock = Clock()
    error = ask(hub, clock)
    assert (error.failure.reason, error.exit_code) == (Reason.INTERNAL, ExitCode.INTERNAL)
    assert "it answers 503" in error.failure.message
    assert "secret" not in error.failure.message, "what an internal address answers is quoted"
    assert 700 < clock.now <= 900
    assert clock.slept[0] <= 1 < clock.slept[-1] <= 60


def test_the_hub_says_how_long_to_wait(hub: StubHub, tiny: Repository) -> None:
    hub.fail("/api/", 1, 429, Retry_After="123")
    hub.fail("/api/", 1, 429, RateLimit='"api";r=0;t=45')
    hub.fail("/api/", 1, 401, X_Error_Code="RepoNotFound")
    clock = Clock()
    assert "not on the Hub" in ask(hub, clock).failure.message
    assert [123 <= clock.slept[0] <= 136, 45 <= clock.slept[1] <= 50, len(clock.slept)] == [True, True, 2]


def test_an_address_without_a_hub_is_named_by_its_failure(hub: StubHub, tiny: Repository) -> None:
    clock = Clock()
    hub.fail("/api/", 10_000, 504)
    assert "HF_ENDPOINT" in ask(hub, clock).failure.message


def test_a_disk_that_is_full_is_not_waited_for() -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    clock = Clock()
    asking = Hub("the model acme/tiny", Reason.MODEL_NOT_FOUND, sleep=clock.sleep, now=lambda: clock.now)
    assert "No space left" in failure_of(lambda: asking.ask("model.safetensors", full)).failure.message
    assert clock.slept == []
