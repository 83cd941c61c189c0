"""Which engine settings a job's workers are written, and what is said of those that they don't know."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import pytest

from rephrase_operator.api.status import RephraseJobStatus
from rephrase_operator.reconcile.decision import CreateConfigMap, PatchConfigMap
from rephrase_operator.reconcile.lifecycle import reconcile
from rephrase_operator.reconcile.worker_contract import judge
from rephrase_worker.spec import CONTRACT_VERSION, EngineSettings, Since, Speculation
from tests.operator.builders import World


class LaterSpeculation(Speculation):
    draft_tokens: Annotated[int | None, Since(3)] = None


class LaterEngine(EngineSettings):
    """The engine's settings as they may be in a later version."""

    async_scheduling: Annotated[bool | None, Since(2)] = None
    power_limit: Annotated[int, Since(3)] = 300
    speculation: LaterSpeculation | None = None


FAST: dict[str, Any] = {"async_scheduling": True}
POWER: dict[str, Any] = {"power_limit": 200}
DRAFT: dict[str, Any] = {"speculation": {"method": "ngram", "num_speculative_tokens": 3, "draft_tokens": 5}}

ROWS = [
    ({}, 1, set(), ()),
    ({"block_size": 16}, 1, {"blockSize"}, ()),
    ({"block_size": 16}, 9, {"blockSize"}, ()),
    (FAST, 1, set(), ("engine.asyncScheduling",)),
    (FAST, 2, {"asyncScheduling"}, ()),
    ({"power_limit": 300}, 1, set(), ()),
    ({"power_limit": 300}, 3, set(), ()),
    (POWER, 2, set(), ("engine.powerLimit",)),
    (FAST | POWER, 1, set(), ("engine.asyncScheduling", "engine.powerLimit")),
    (FAST | POWER, 3, {"asyncScheduling", "powerLimit"}, ()),
    (DRAFT, 1, {"speculation"}, ("engine.speculation.draftTokens",)),
    (DRAFT, 3, {"speculation"}, ()),
]


@pytest.mark.parametrize(("settings", "version", "written", "left_out"), ROWS)
def test_contract(
    settings: dict[str, Any], version: int, written: set[str], left_out: tuple[str, ...]
) -> None:
    status = RephraseJobStatus(contract_version=version, worker_image="worker:1")
    verdict = judge(LaterEngine(**settings), status)
    assert verdict.left_out == left_out
    assert set(json.loads(verdict.engine)) - set(json.loads(EngineSettings().to_json())) == written
    assert all(field in verdict.message for field in left_out)
    assert ("worker:1" in verdict.message) is bool(left_out)
    if version <= 1:
        EngineSettings.model_validate_json(verdict.engine)


def test_a_job_goes_on_without_the_setting_and_says_so() -> None:
    world = World().planned(contract_version=1).running(0).run()
    assert world.status.engine is not None
    later = LaterEngine(block_size=16, async_scheduling=True)
    engine = world.status.engine.model_copy(update={"settings": later})
    job = replace(world.job, status=world.status.model_copy(update={"engine": engine}))
    decided = reconcile(job, world.seen, world.now, world.settings, world.library)
    (patch,) = [action for action in decided.actions if isinstance(action, PatchConfigMap)]
    assert EngineSettings.model_validate_json(patch.data["engine.json"]).block_size == 16
    held = decided.status.condition("WorkersCurrent")
    assert held is not None
    assert (held.status, held.reason) == ("False", "WorkersTooOld")
    assert "engine.asyncScheduling" in held.message
    assert decided.status.phase == "Running"


def test_the_version_is_the_operators_own_until_the_plan_says() -> None:
    world = World().run()
    assert world.status.contract_version == CONTRACT_VERSION
    assert world.planned(contract_version=7).status.contract_version == 7


def test_a_recipe_that_is_made_again_is_made_for_the_jobs_worker() -> None:
    world = World().planned()
    world.config = None
    assert [type(action) for action in world.decide().actions] == [CreateConfigMap]
    assert world.run().config is not None
