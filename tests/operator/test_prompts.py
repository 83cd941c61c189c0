"""Where the prompts of a job come from, what is wrong with them, and that they are frozen."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.prompts import PromptChoice
from rephrase_operator.api.status import Phase
from rephrase_operator.library import Layout
from rephrase_operator.reconcile.prompts import LOOK_AGAIN_SECONDS, PromptProblem, resolve
from rephrase_worker.spec import Prompt, Recipe
from tests.operator.builders import LIBRARY, World, library_prompt, spec_of

REF = {"name": "prompts", "key": "own.md"}
PLAIN = "What is {{title}} about?\n\n{{document}}"
FILE = """---
title: Haiku
structure: list
expectedTokens: 30
system: You are a poet.
---
Turn the text into a haiku.
"""

Texts = dict[str, dict[str, str | None]]


def resolved(choices: list[dict[str, Any]], texts: Texts) -> list[Prompt] | PromptProblem:
    return resolve([PromptChoice(**choice) for choice in choices], LIBRARY, World(texts=texts).prompt_maps)


def own(**fields: Any) -> dict[str, Any]:
    return {"name": "own", "config_map_key_ref": REF} | fields


def held(text: str | None) -> Texts:
    return {"prompts": {"own.md": text}}


LAID_OUT = library_prompt("own", "Turn the text into a haiku.")
FAQ = LIBRARY["faq"]

GOOD = [
    ("library", {"name": "faq"}, {}, (FAQ.template(), None, "prose", 100)),
    (
        "library, the job says more",
        {
            "name": "faq",
            "layout": "InstructionFirst",
            "system": "Be kind.",
            "structure": "list",
            "expected_tokens": 7,
        },
        {},
        (FAQ.template(Layout.INSTRUCTION_FIRST), "Be kind.", "list", 7),
    ),
    ("template", {"name": "faq", "template": PLAIN}, {}, (PLAIN, None, None, None)),
    (
        "template, the job says more",
        {"name": "own", "template": PLAIN, "structure": "table"},
        {},
        (PLAIN, None, "table", None),
    ),
    ("plain text in a ConfigMap", own(), held(f"\n{PLAIN}\n"), (PLAIN, None, None, None)),
    (
        "a file of the library's format in a ConfigMap",
        own(),
        held(FILE),
        (LAID_OUT.template(), "You are a poet.", "list", 30),
    ),
    (
        "the job wins over the file",
        own(layout="InstructionFirst", system="Be kind.", expected_tokens=9),
        held(FILE),
        (LAID_OUT.template(Layout.INSTRUCTION_FIRST), "Be kind.", "list", 9),
    ),
    ("a name of the library", own(name="faq"), held(PLAIN), (PLAIN, None, None, None)),
]


@pytest.mark.parametrize(
    ("choice", "texts", "expected"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD]
)
def test_where_a_prompt_comes_from(
    choice: dict[str, Any], texts: Texts, expected: tuple[str, str | None, str | None, int | None]
) -> None:
    found = resolved([choice], texts)
    assert not isinstance(found, PromptProblem)
    (prompt,) = found
    assert prompt.name == choice["name"]
    assert (prompt.template, prompt.system, prompt.structure, prompt.expected_tokens) == expected


BAD = [
    ({"name": "fqa"}, {}, "UnknownPrompt", "There are faq, math"),
    (own(), {}, "ConfigMapNotFound", "kubectl create configmap prompts --from-file=own.md=FILE"),
    (own(), {"prompts": {}}, "ConfigMapKeyNotFound", "it has no keys at all"),
    (own(), {"prompts": {"a.md": PLAIN, "b.md": PLAIN}}, "ConfigMapKeyNotFound", "it has a.md, b.md."),
    (own(), held(None), "InvalidPrompt", "binary data"),
    (own(), held(""), "InvalidPrompt", "it is empty"),
    (own(), held("  \n"), "InvalidPrompt", "it is empty"),
    (own(), held("Write a FAQ."), "InvalidPrompt", "{{document}} 0 times"),
    (own(), held("{{document}}{{document}}"), "InvalidPrompt", "{{document}} 2 times"),
    (own(), held("x" * 20_000 + "{{document}}"), "InvalidPrompt", "at most 16384"),
    (own(), held("---\ntitel: x\n---\nGo."), "InvalidPrompt", "titel is no field"),
    (own(), held("---\ntitle: Mine\n---\n{{document}}"), "InvalidPrompt", "the layout puts the document in"),
    (
        own(),
        held("---\nstructure: haiku\n---\nGo."),
        "InvalidPrompt",
        "no structure haiku. Choose one of article,",
    ),
    ({"name": "faq", "structure": "haiku"}, {}, "InvalidPrompt", "no structure haiku"),
    (own(layout="DocumentFirst"), held(PLAIN), "InvalidPrompt", "remove layout"),
    (own(unstructured="Drop"), held(PLAIN), "InvalidPrompt", "Set structure, or leave unstructured out"),
]


@pytest.mark.parametrize(("choice", "texts", "reason", "said"), BAD)
def test_what_can_not_be_used_says_why_and_what_to_do(
    choice: dict[str, Any], texts: Texts, reason: str, said: str
) -> None:
    found = resolved([{"name": "math"}, choice], texts)
    assert isinstance(found, PromptProblem)
    assert found.reason == reason
    assert said in found.message
    assert found.may_pass is (reason != "UnknownPrompt")


@pytest.mark.parametrize(
    ("choice", "texts"),
    [
        ({"name": "faq"}, {}),
        (own(), held(FILE)),
        ({"name": "own", "template": PLAIN, "structure": "table"}, {}),
    ],
)
def test_outputs_are_dropped_only_where_the_job_says_so(choice: dict[str, Any], texts: Texts) -> None:
    for said, drops in (({}, False), ({"unstructured": "Keep"}, False), ({"unstructured": "Drop"}, True)):
        found = resolved([choice | said], texts)
        assert not isinstance(found, PromptProblem)
        assert found[0].drops is drops


def test_every_prompt_that_is_wrong_is_named() -> None:
    choices = [
        own(name=name, config_map_key_ref={"name": "prompts", "key": name}) for name in ("a", "b", "c")
    ]
    found = resolved(choices, {"prompts": {"b": PLAIN, "c": "no placeholder"}})
    assert isinstance(found, PromptProblem)
    assert found.reason == "ConfigMapKeyNotFound"
    assert "Prompt a:" in found.message
    assert "Prompt b:" not in found.message
    assert "Prompt c:" in found.message


def test_prompts_that_do_not_fit_into_one_recipe_are_refused() -> None:
    """A ConfigMap holds 1 MiB, and 32 templates of three bytes a character take more."""
    text = "\u6587" * 16_000 + "{{document}}"
    choices = [own(name=f"p{number}", config_map_key_ref=REF) for number in range(32)]
    assert not isinstance(resolved(choices[:16], held(text)), PromptProblem)
    found = resolved(choices, held(text))
    assert isinstance(found, PromptProblem)
    assert "bytes together" in found.message


def recipe(world: World) -> Recipe:
    assert world.config is not None
    return Recipe.model_validate_json(world.config.recipe)


def waiting(**world: Any) -> World:
    return World(raw=spec_of(prompts=[{"name": "own", "configMapKeyRef": REF}]), **world)


@pytest.mark.parametrize("there", [{}, {"prompts": {}}, held("no placeholder")])
def test_a_job_waits_for_its_config_map_and_starts_by_itself(there: Texts) -> None:
    world = waiting(texts=there).run()
    assert world.reason(ConditionType.ACCEPTED).startswith("False/")
    assert (world.phase, world.status.start_time, world.jobs) == (Phase.PENDING, None, {})
    assert world.decide().requeue_after == LOOK_AGAIN_SECONDS
    world.texts = held(PLAIN)
    world.after(seconds=LOOK_AGAIN_SECONDS).run()
    assert world.phase is Phase.PLANNING
    assert world.reason(ConditionType.ACCEPTED) == "True/Accepted"
    assert recipe(world).prompts == [Prompt(name="own", template=PLAIN)]


def test_a_config_map_that_changes_or_goes_after_the_start_changes_nothing() -> None:
    world = waiting(texts=held(PLAIN)).planned()
    for later in (held("Something else: {{document}}"), {}):
        world.texts = later
        before = world.status
        world.after(minutes=1).run()
        assert recipe(world).prompts[0].template == PLAIN
        assert world.status.recipe_hash == before.recipe_hash == recipe(world).hash
        assert world.reason(ConditionType.ACCEPTED) == "True/Accepted"
    assert world.phase is not Phase.FAILED


def test_a_change_between_the_start_and_the_first_job_is_taken() -> None:
    """The recipe is written a pass after the start. The text that is written is the one that counts."""
    world = waiting(texts=held(PLAIN)).run(passes=1)
    assert (world.status.start_time, world.config) == (world.now, None)
    world.texts = held("Again: {{document}}")
    world.run()
    assert recipe(world).prompts[0].template == "Again: {{document}}"
    assert world.status.recipe_hash == recipe(world).hash
    assert world.phase is Phase.PLANNING


def test_a_config_map_that_goes_between_the_start_and_the_first_job_is_waited_for() -> None:
    world = waiting(texts=held(PLAIN)).run(passes=1)
    world.texts = {}
    world.run()
    assert world.jobs == {}
    assert world.reason(ConditionType.ACCEPTED) == "False/RecipeChanged"
    assert world.decide().requeue_after == LOOK_AGAIN_SECONDS
    world.texts = held(PLAIN)
    assert world.run().phase is Phase.PLANNING


def test_a_lost_recipe_is_made_again_from_the_same_texts() -> None:
    world = waiting(texts=held(PLAIN)).planned()
    frozen, world.config = world.config, None
    assert world.run().config == frozen


@pytest.mark.parametrize(
    ("later", "said"), [(held("Else: {{document}}"), "ConfigMap prompts"), ({}, "no ConfigMap")]
)
def test_a_lost_recipe_of_other_texts_holds_the_job_until_they_are_back(later: Texts, said: str) -> None:
    world = waiting(texts=held(PLAIN)).planned().running(0).run()
    frozen, world.config = world.config, None
    world.texts = later
    world.run()
    condition = world.status.condition(ConditionType.ACCEPTED)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "RecipeChanged")
    assert said in condition.message
    assert "Put the earlier text back" in condition.message
    assert world.config is None
    world.running(0, samples_text=24).after(seconds=30).run()
    progress = world.status.progress
    assert progress is not None
    assert progress.samples_text == 24, "workers that run have the recipe mounted"
    world.texts = held(PLAIN)
    world.run()
    assert world.config == frozen
    assert world.reason(ConditionType.ACCEPTED) == "True/Accepted"


def test_no_further_step_begins_without_the_recipe() -> None:
    world = waiting(texts=held(PLAIN)).planned(shards=1).running(0).run()
    world.config, world.texts = None, {}
    world.succeed(0).job_says("generate", complete=True).run()  # type: ignore[arg-type]
    assert "finalize" not in world.jobs
    world.texts = held(PLAIN)
    assert "finalize" in world.run().jobs
