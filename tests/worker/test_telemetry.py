"""`/metrics`, `/progress` and `/healthz` over real HTTP, and the termination message."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.report.telemetry import Telemetry, address
from rephrase_worker.report.termination import TerminationMessage, fit
from rephrase_worker.spec import (
    PROGRESS_LIMIT_BYTES,
    SHARD_GROUPS,
    TERMINATION_LIMIT_BYTES,
    WORKER_PORT,
    Failure,
    FinalReport,
    PlanReport,
    PromptQuality,
    Reason,
    ShardGroup,
    ShardReport,
    Statistics,
    WorkerError,
)
from tests.programs import program
from tests.worker.test_progress import sample
from tests.worker.worker_process import fetch


@pytest.fixture
def progress() -> ShardProgress:
    progress = ShardProgress(shard=7, pod_uid="uid", now=lambda: 100.0)
    progress.asks(["faq", "math"])
    progress.finished([sample(tokens=12), sample(error="empty_text: the text is empty")])
    progress.document_finished()
    progress.engine_ready(lambda: 99)
    progress.admitted(3)
    progress.committed()
    for writing in (True, False, True):
        progress.store_failed(writing=writing)
    progress.store_works()
    progress.step_took("engine", 41.5)
    return progress


@pytest.fixture
def telemetry(progress: ShardProgress) -> Iterator[Telemetry]:
    with Telemetry(progress, host="127.0.0.1", port=0, registry=CollectorRegistry()) as server:
        yield server


def metrics(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(fetch(f"{telemetry.url}/metrics").decode())
    return {
        (metric.name, *sorted(f"{name}={value}" for name, value in metric.labels.items())): metric.value
        for family in families
        for metric in family.samples
    }


def test_metrics_have_the_names_and_values_that_are_documented(telemetry: Telemetry) -> None:
    assert metrics(telemetry) == {
        ("rephrase_worker_documents_total",): 1.0,
        ("rephrase_worker_samples_total", "outcome=text", "prompt=faq"): 1.0,
        ("rephrase_worker_samples_total", "outcome=error", "prompt=faq"): 1.0,
        ("rephrase_worker_samples_total", "outcome=text", "prompt=math"): 0.0,
        ("rephrase_worker_samples_total", "outcome=error", "prompt=math"): 0.0,
        ("rephrase_worker_prompt_tokens_total",): 100.0,
        ("rephrase_worker_cached_prompt_tokens_total",): 64.0,
        ("rephrase_worker_output_tokens_total",): 99.0,
        ("rephrase_worker_prompt_output_tokens_total", "prompt=faq"): 12.0,
        ("rephrase_worker_prompt_output_tokens_total", "prompt=math"): 0.0,
        ("rephrase_worker_requests_in_flight",): 3.0,
        ("rephrase_worker_commits_total",): 1.0,
        ("rephrase_worker_commit_failures_total",): 2.0,
        ("rephrase_worker_engine_seconds_total",): 0.0,
        ("rephrase_worker_startup_seconds", "step=engine"): 41.5,
    }


def test_promtool_has_no_complaint_about_the_metrics(telemetry: Telemetry) -> None:
    body = fetch(f"{telemetry.url}/metrics")
    subprocess.run([program("promtool"), "check", "metrics"], input=body, check=True, capture_output=True)


def test_progress_is_the_report_as_json(telemetry: Telemetry, progress: ShardProgress) -> None:
    body = fetch(f"{telemetry.url}/progress")
    assert ShardReport.model_validate_json(body) == progress.report()
    assert len(body) < PROGRESS_LIMIT_BYTES


def test_healthz_fails_when_the_engine_hangs(telemetry: Telemetry, progress: ShardProgress) -> None:
    assert fetch(f"{telemetry.url}/healthz") == b"ok\n"
    progress.failed(Failure(reason=Reason.ENGINE_HANGS, message="no token"), hangs=True)
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"{telemetry.url}/healthz")
    with caught.value as answer:
        assert answer.code == 503


def test_other_paths_are_not_found(telemetry: Telemetry) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"{telemetry.url}/etc/passwd")
    with caught.value as answer:
        assert answer.code == 404


def test_a_port_that_is_taken_is_named(progress: ShardProgress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WorkerError, match=f"127.0.0.1 port {port}"):
            Telemetry(progress, host="127.0.0.1", port=port, registry=CollectorRegistry())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ("127.0.0.1", WORKER_PORT)),
        ({"POD_IP": "10.1.2.3"}, ("10.1.2.3", WORKER_PORT)),
        ({"POD_IP": "", "REPHRASE_PORT": "0"}, ("127.0.0.1", 0)),
    ],
)
def test_telemetry_listens_on_the_pods_own_address(
    environment: dict[str, str], expected: tuple[str, int]
) -> None:
    assert address(environment) == expected


def test_an_ipv6_address_has_brackets_in_the_url(progress: ShardProgress) -> None:
    try:
        server = Telemetry(progress, host="::1", port=0, registry=CollectorRegistry())
    except WorkerError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        assert server.url.startswith("http://[::1]:")
        assert fetch(f"{server.url}/healthz") == b"ok\n"


reports = st.builds(
    ShardReport,
    shard=st.integers(0, 10**6),
    pod_uid=st.text(max_size=60),
    errors=st.dictionaries(st.text(min_size=1, max_size=64), st.integers(1, 10**9), max_size=16),
    output_tokens=st.integers(0, 10**12),
    startup_seconds=st.dictionaries(
        st.sampled_from(["import", "engine", "resume"]), st.floats(0, 10**6, allow_nan=False)
    ),
    quality=st.dictionaries(
        st.text("abc-", min_size=1, max_size=40),
        st.builds(
            PromptQuality,
            samples=st.integers(0, 10**7),
            structured=st.integers(0, 10**7),
            openings=st.dictionaries(st.text(max_size=60), st.integers(1, 10**6), max_size=8),
        ),
        max_size=32,
    ),
    failure=st.none() | st.builds(Failure, reason=st.sampled_from(Reason), message=st.text(max_size=5000)),
)


@given(report=reports)
def test_any_report_fits_the_termination_message(report: ShardReport) -> None:
    data = fit(report)
    assert len(data) <= TERMINATION_LIMIT_BYTES
    kept = ShardReport.model_validate_json(data)
    assert kept.output_tokens == report.output_tokens
    if report.failure is not None:
        assert kept.failure is not None
        assert kept.failure.reason is report.failure.reason
    if len(report.to_json().encode()) <= TERMINATION_LIMIT_BYTES:
        assert kept == report


@given(
    text=st.text(max_size=300),
    asked=st.text(max_size=300),
    groups=st.lists(
        st.builds(ShardGroup, shards=st.integers(1, 10**5), documents=st.floats(1, 10**9)),
        max_size=SHARD_GROUPS,
    ),
)
def test_a_plan_fits_the_termination_message_and_keeps_its_shards(
    text: str, asked: str, groups: list[ShardGroup]
) -> None:
    statistics = Statistics(
        documents=10**12, sampled=512, prompt_tokens=12345.67, output_basis="x" * 300, shards=groups
    )
    report = PlanReport(shards=10**5, skipped=text, model_asked=asked, statistics=statistics)
    kept = PlanReport.model_validate_json(data := fit(report))
    assert len(data) <= TERMINATION_LIMIT_BYTES
    assert kept.statistics is not None
    assert sum(group.shards for group in kept.statistics.shards) == sum(group.shards for group in groups)


def quality_of(prompts: int, *, share: int, cut: bool = False) -> dict[str, PromptQuality]:
    return {
        f"prompt-{number:02}": PromptQuality(
            samples=3000,
            structure_judged=3000,
            structured=2900 - number,
            refusals=number,
            openings={
                f"{place} is how {share + number} outputs of prompt begin, word for word": share
                + number
                - place
                for place in range(8)
            },
        )
        for number in range(prompts)
    }


def test_a_usual_report_keeps_the_openings() -> None:
    report = ShardReport(shard=17, pod_uid="0" * 36, state="done", quality=quality_of(4, share=300))
    kept = ShardReport.model_validate_json(fit(report)).quality
    assert [each.samples for each in kept.values()] == [3000] * 4
    for name, each in kept.items():
        assert len(each.openings) >= 2
        assert (
            list(each.openings.items()) == list(report.quality[name].openings.items())[: len(each.openings)]
        )


@pytest.mark.parametrize("kind", [ShardReport, FinalReport])
def test_the_counts_of_32_prompts_fit_and_the_least_varied_keep_their_opening(
    kind: type[ShardReport] | type[FinalReport],
) -> None:
    given: dict[str, Any] = {"quality": quality_of(32, share=300)}
    report = (
        ShardReport(shard=17, pod_uid="0" * 36, state="done", **given)
        if kind is ShardReport
        else kind(**given)
    )
    data = fit(report)
    assert len(data) <= TERMINATION_LIMIT_BYTES
    kept = kind.model_validate_json(data).quality
    assert list(kept) == list(report.quality)[: len(kept)]
    assert len(kept) >= 16
    openings = [name for name, each in kept.items() if each.openings]
    assert openings == list(report.quality)[len(report.quality) - len(openings) :][: len(openings)]


def test_a_failure_is_explained_in_spite_of_many_openings() -> None:
    failure = Failure(reason=Reason.ENGINE_FAILED, message="out of memory " * 100)
    report = ShardReport(shard=17, state="failed", quality=quality_of(4, share=300), failure=failure)
    kept = ShardReport.model_validate_json(fit(report))
    assert kept.failure is not None
    assert len(kept.failure.message) >= 600
    assert all(each.openings for each in kept.quality.values())


def test_the_termination_message_is_rewritten_in_place(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    path.write_bytes(b"")
    inode = path.stat().st_ino
    message = TerminationMessage(str(path))
    message.write(PlanReport(failure=Failure(reason=Reason.INTERNAL, message="x" * 900)))
    message.write(PlanReport(shards=3))
    assert PlanReport.model_validate_json(path.read_bytes()).shards == 3
    assert path.stat().st_ino == inode
    assert json.loads(path.read_bytes())["kind"] == "plan"


def test_a_termination_message_that_can_not_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    TerminationMessage(str(tmp_path / "no" / "folder")).write(PlanReport())
    assert "can't be written" in caplog.text
    TerminationMessage(None).write(PlanReport())
