"""House prompts: the installer's, which every job can name like those of the library."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.status import Phase
from rephrase_operator.cluster.kube import Kube
from rephrase_operator.library import library, with_house_prompts
from rephrase_operator.runtime.controller import Controller
from rephrase_operator.runtime.metrics import Metrics
from rephrase_operator.settings import parse
from rephrase_worker.spec import Prompt, Recipe
from tests.operator.builders import World, spec_of

HAIKU = """---
title: Haiku
structure: prose
expectedTokens: 30
system: You are a poet.
---
Sum the text up in a haiku.
"""
PLAIN = "Text:\n{{document}}\n\nSay it to a child.\n"
WRONG = "---\ntitle: Style\nexpectedTokens: many\n---\nGo.\n"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name, text in {"haiku": HAIKU, "plain": PLAIN, "wrong": WRONG, "faq": PLAIN}.items():
        (tmp_path / f"{name}.md").write_text(text)
    (tmp_path / "..data").mkdir()  # Kubelets keep the files of a ConfigMap in such a folder.
    return tmp_path


def world_of(house: Path, *prompts: dict[str, Any]) -> World:
    """A job with these prompts, reconciled."""
    return World(raw=spec_of(prompts=list(prompts)), library=with_house_prompts(house)).run()


def frozen(world: World) -> list[Prompt]:
    assert world.config is not None
    return Recipe.model_validate_json(world.config.recipe).prompts


def refusal(world: World) -> str:
    held = world.status.condition(ConditionType.ACCEPTED)
    assert held is not None
    assert (world.phase, held.status, held.reason) == (Phase.PENDING, "False", "InvalidPrompt")
    return held.message


def test_a_job_names_a_house_prompt_like_one_of_the_library(house: Path) -> None:
    haiku, plain, math = frozen(world_of(house, *({"name": name} for name in ("haiku", "plain", "math"))))
    assert haiku.template.endswith("Sum the text up in a haiku.")
    assert (haiku.system, haiku.structure, haiku.expected_tokens) == ("You are a poet.", "prose", 30)
    assert plain.template == PLAIN.strip()
    assert math.template == library()["math"].template()


def test_what_the_job_says_of_a_house_prompt_wins(house: Path) -> None:
    (haiku,) = frozen(world_of(house, {"name": "haiku", "system": "Be brief.", "layout": "InstructionFirst"}))
    assert haiku.system == "Be brief."
    assert haiku.template.startswith("Sum the text up")
    assert "remove layout" in refusal(world_of(house, {"name": "plain", "layout": "InstructionFirst"}))


def test_a_broken_prompt_stops_the_jobs_that_name_it_and_no_others(house: Path) -> None:
    said = refusal(world_of(house, {"name": "math"}, {"name": "wrong"}))
    assert "Prompt wrong: " in said
    assert "expectedTokens: Input should be a valid integer" in said
    assert "(line 2 of the front matter)" in said
    assert "many" not in said
    assert world_of(house, {"name": "math"}).phase is Phase.PLANNING


def test_a_name_of_the_library_is_neither_replaced_nor_kept_unseen(house: Path) -> None:
    assert "the library has a prompt of this name" in refusal(world_of(house, {"name": "faq"}))


def test_an_unknown_prompt_is_answered_with_those_that_can_be_used(house: Path) -> None:
    world = world_of(house, {"name": "hiaku"})
    held = world.status.condition(ConditionType.ACCEPTED)
    assert held is not None
    assert held.reason == "UnknownPrompt"
    assert "haiku" in held.message
    assert "wrong" not in held.message


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("latin", "caf\u00e9 {{document}}".encode("latin-1"), "it is not UTF-8 text"),
        ("Upper", PLAIN.encode(), "the file's name is the prompt's"),
        ("empty", b"", "it is empty"),
        ("twice", b"{{document}}{{document}}", "{{document}} 2 times"),
        ("yaml", b"---\ntitle: [\n---\nGo.", "of the front matter is no YAML"),
    ],
)
def test_a_file_that_can_not_be_used_is_explained(house: Path, name: str, content: bytes, said: str) -> None:
    (house / f"{name}.md").write_bytes(content)
    found = with_house_prompts(house)
    assert said in found[name].why  # type: ignore[union-attr]
    assert found.keys() == library().keys() | {"haiku", "plain", "wrong", name}


def test_a_running_job_keeps_its_text_when_the_house_prompt_changes_or_goes(house: Path) -> None:
    world = world_of(house, {"name": "haiku"})
    before = frozen(world)
    (house / "haiku.md").unlink()
    world.library = with_house_prompts(house)
    assert frozen(world.run()) == before
    assert world.phase is Phase.PLANNING


async def test_the_operator_starts_and_says_which_prompts_it_can_not_use(
    house: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        Controller(Kube.__new__(Kube), parse([f"--prompts={house}"]), Metrics())
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(" in ")[0] for line in said] == ["the prompt faq", "the prompt wrong"]
    assert "line 2 of the front matter" in said[1]


def test_a_folder_that_is_not_there_is_a_wrong_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--prompts=/nowhere"])
    assert "--prompts: Path does not point to a directory" in capsys.readouterr().err
