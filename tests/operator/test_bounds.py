"""Whatever pods say, the API server accepts the status and returns it as it was written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_operator.api.bounds import plain, shortened
from rephrase_operator.api.crd import build
from rephrase_operator.api.status import RephraseJobStatus
from rephrase_operator.observed.views import Step, read_report
from rephrase_worker.spec import Failure, Reason, ShardReport
from tests.operator.builders import World, shard_report, spec_of

SCHEMA = build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
ETCD_LIMIT = 1_000_000

hostile = st.one_of(
    st.text(max_size=50),
    st.text(st.characters(categories=["Cc", "Cs", "So", "Lo"]), max_size=50),
    st.sampled_from(["\U0001f525" * 5000, "\x1b[2J" * 5000, "\ud800" * 5000, "\x00" * 5000, "é" * 100_000]),
)


def accepted(status: dict[str, Any]) -> None:
    # Schemas of Kubernetes have exclusiveMinimum as draft 4 does: true or false.
    jsonschema.Draft4Validator(SCHEMA).validate(status)
    text = json.dumps(status, ensure_ascii=False).encode("utf-8")
    assert len(text) < ETCD_LIMIT
    assert json.loads(text) == status


@settings(max_examples=25, deadline=None)
@given(hostile, hostile, st.integers(1, 100))
def test_hostile_words_of_pods_make_no_status_unacceptable(message: str, reason: str, count: int) -> None:
    world = World(raw=spec_of(failurePolicy={"maxAttemptsPerShard": 1})).planned(shards=count + 1)
    failure = Failure(reason=Reason.ENGINE_FAILED, message=message)
    for shard in range(count):
        report = shard_report(shard, state="failed", failure=failure, errors={reason: 1})
        termination = report.to_json() if shard % 2 else message
        world.fail_pod(shard)
        pod = world.pods[-1]
        world.pods[-1] = replace(pod, termination=termination, end_reason=reason)
    world.pod(Step.GENERATE, "w", index=count, trouble=reason or "x", trouble_message=message)
    for _ in range(3):
        decided = world.decide()
        written = decided.status.to_api()
        accepted(written)
        world.status = RephraseJobStatus.model_validate(written)
    assert world.decide().status.to_api() == written, "it is not written again and again"


@given(hostile)
def test_a_hostile_refusal_of_the_api_server_is_shown(message: str) -> None:
    world = World().planned()
    world.refused = message
    accepted(world.decide().status.to_api())


@pytest.mark.parametrize("number", ["1e400", "NaN", "-1", "1" + "0" * 40, "-Infinity"])
@pytest.mark.parametrize("field", ["samplesText", "generatedTokens", "engineSeconds", "tokensPerSecond"])
def test_numbers_that_no_worker_counts_are_no_report(field: str, number: str) -> None:
    assert read_report(ShardReport, f'{{"kind": "shard", "shard": 1, "{field}": {number}}}') is None


def test_a_shortened_text_ends_with_an_ellipsis() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
    assert shortened("\U0001f525" * 4, 4) == "\U0001f525" * 4


def test_nothing_that_a_terminal_acts_on_is_left() -> None:
    assert plain("a\x1b[2Jb\r\n\tc\ud800") == "a\ufffd[2Jb\ufffd\n\tc?"
