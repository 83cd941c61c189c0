"""Prompts in the values: they reach the operator as files, and what can be told before is told by helm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rephrase_operator import settings
from rephrase_operator.library import library, with_house_prompts
from tests.chart.helm import CHART, Manifest, of_kind, refusal, render, the

HAIKU = '---\ntitle: "A #haiku"\n---\nSum it up: \\ "quoted",\n\u4f8b {{title}}.\n'
PLAIN = "{{document}}\n\nSay it again.\n"


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    found: dict[str, Any] = the(manifests, "Deployment")["spec"]["template"]
    return found


def prompt_maps(manifests: list[Manifest]) -> list[Manifest]:
    return [one for one in of_kind(manifests, "ConfigMap") if one["metadata"]["name"].endswith("-prompts")]


def test_the_operator_reads_the_texts_as_they_are(tmp_path: Path) -> None:
    manifests = render({"prompts": {"haiku": HAIKU, "plain": PLAIN}})
    (config_map,) = prompt_maps(manifests)
    spec = pod(manifests)["spec"]
    (volume,), (mount,) = spec["volumes"], spec["containers"][0]["volumeMounts"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    for file, text in config_map["data"].items():
        (tmp_path / file).write_text(text)
    arguments = [one.replace(mount["mountPath"], str(tmp_path)) for one in spec["containers"][0]["args"]]
    folder = settings.parse(arguments).prompts
    assert folder is not None
    found = with_house_prompts(folder)
    assert found["haiku"].facts.title == "A #haiku"  # type: ignore[union-attr]
    assert found["haiku"].text == 'Sum it up: \\ "quoted",\n\u4f8b {{title}}.'  # type: ignore[union-attr]
    assert found["plain"].text == PLAIN.strip()  # type: ignore[union-attr]


def test_another_text_restarts_the_operator_and_without_prompts_there_is_no_trace_of_them() -> None:
    notes = [pod(render({"prompts": {"own": text}}))["metadata"]["annotations"] for text in (PLAIN, HAIKU)]
    assert notes[0] != notes[1]
    without = render()
    assert not prompt_maps(without)
    assert "annotations" not in pod(without)["metadata"]
    assert not any("prompts" in argument for argument in pod(without)["spec"]["containers"][0]["args"])


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ({"Haiku": PLAIN}, "Haiku"),
        ({"my_prompt": PLAIN}, "my_prompt"),
        ({"x" * 41: PLAIN}, "x" * 41),
        ({"own": {"template": PLAIN}}, "/prompts/own"),
        ({"own": " \n"}, "/prompts/own"),
        ({"own": "x" * 20_001}, "/prompts/own"),
        ({"own": "Say it again."}, "prompts.own: it has neither front matter"),
    ],
)
def test_what_can_be_no_prompt_is_refused_by_its_name(prompts: dict[str, Any], said: str) -> None:
    assert said in refusal({"prompts": prompts})


def test_the_names_of_the_library_are_refused() -> None:
    assert "prompts.faq: the library has a prompt of this name" in refusal({"prompts": {"faq": PLAIN}})
    template = (CHART / "templates" / "prompts.yaml").read_text()
    names = re.search(r"\$library := list\s(.*?)}}", template, re.DOTALL)
    assert names is not None
    assert re.findall(r'"([^"]+)"', names[1]) == sorted(library())
