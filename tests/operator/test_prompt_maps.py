"""When the ConfigMaps of users are read, and what is seen of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rephrase_operator.api.status import Phase
from rephrase_operator.cluster.kube import ApiError
from rephrase_operator.observed.views import ConfigView, JobObject
from rephrase_operator.runtime.prompt_maps import prompt_maps
from tests.operator.builders import World, spec_of
from tests.operator.fake_kube import FakeKube

MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG = ConfigView(owner_uid="uid-1", recipe="{}", engine="{}")


def ref(prompt: str, name: str, key: str) -> dict[str, Any]:
    return {"name": prompt, "configMapKeyRef": {"name": name, "key": key}}


PROMPTS = [{"name": "faq"}, ref("a", "one", "a.md"), ref("b", "one", "b.md"), ref("c", "two", "c.md")]


def cluster() -> FakeKube:
    kube = FakeKube()
    data = {"data": {"a.md": "A {{document}}", "more": "x" * 1000}, "binaryData": {"b.md": "AAAA"}}
    kube.store(f"{MAPS}/one", {"metadata": {"name": "one"}} | data)
    return kube


async def read(kube: FakeKube, job: JobObject, config: ConfigView | None) -> dict[str, Any]:
    connection: Any = kube
    return {
        name: (set(view.keys), dict(view.texts))
        for name, view in (await prompt_maps(connection, job, config)).items()
    }


async def test_each_config_map_is_read_once_and_only_the_keys_that_are_asked_for_are_kept() -> None:
    kube = cluster()
    found = await read(kube, World(raw=spec_of(prompts=PROMPTS)).job, None)
    assert found == {"one": ({"a.md", "b.md", "more"}, {"a.md": "A {{document}}"})}
    assert sorted(kube.requests) == [("GET", f"{MAPS}/one"), ("GET", f"{MAPS}/two")]


def jobs() -> dict[str, tuple[JobObject, ConfigView | None]]:
    own = World(raw=spec_of(prompts=PROMPTS))
    plain = World().run()
    started = replace(own.job, status=plain.status)
    failed = plain.status.model_copy(update={"phase": Phase.FAILED})
    return {
        "the recipe is frozen": (started, CONFIG),
        "the job has ended": (replace(started, status=failed), None),
        "the job is being deleted": (replace(own.job, deleting=True), None),
        "the spec can't be read": (replace(own.job, spec=None), None),
        "no prompt is in a ConfigMap": (plain.job, None),
    }


@pytest.mark.parametrize("case", jobs())
async def test_nothing_is_read_when(case: str) -> None:
    kube = cluster()
    job, config = jobs()[case]
    assert await read(kube, job, config) == {}
    assert kube.requests == []


async def test_a_lost_recipe_makes_them_be_read_again() -> None:
    job, _ = jobs()["the recipe is frozen"]
    assert set(await read(cluster(), job, None)) == {"one"}


async def test_an_api_server_that_fails_is_no_missing_config_map() -> None:
    kube = cluster()
    kube.fail["GET"] = [ApiError(503, "ServiceUnavailable", "later")]
    with pytest.raises(ApiError, match="later"):
        await read(kube, World(raw=spec_of(prompts=PROMPTS)).job, None)
