"""Operators and workers of different versions of the contract understand each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from rephrase_worker import spec
from rephrase_worker.spec import (
    CONTRACT_VERSION,
    Contract,
    EngineSettings,
    Model,
    Output,
    Owner,
    Prompt,
    Recipe,
    Since,
    Source,
)

VERSIONS = st.integers(1, 4)
Fields = Mapping[str, int]
"""The version that each field of a model came with."""

fields = st.dictionaries(st.sampled_from(["batch_size", "dtype", "top_k", "seed", "tag"]), VERSIONS)


def model_at(version: int, own: Fields, inner: Fields) -> type[Contract]:
    """A contract as it was in this version: an object in an object, and a list of objects."""

    def known(given: Fields) -> dict[str, Any]:
        return {
            name: (Annotated[int | None, Since(since)] if since > 1 else int | None, None)
            for name, since in given.items()
            if since <= version
        }

    part = create_model("Part", __base__=Contract, **known(inner))
    nested: dict[str, Any] = {"part": (part, part()), "parts": (list[part], [])}  # type: ignore[valid-type]
    late: dict[str, Any] = {} if version < 3 else {"late": (Annotated[part | None, Since(3)], None)}  # type: ignore[valid-type]
    return create_model("Whole", __base__=Contract, **known(own), **nested, **late)


def some(draw: st.DrawFn, given: Fields, version: int) -> dict[str, int]:
    known = sorted(name for name, since in given.items() if since <= version)
    return {name: draw(st.integers(0, 9)) for name in known if draw(st.booleans())}


@st.composite
def skews(draw: st.DrawFn) -> tuple[Contract, type[Contract], int]:
    """What an operator holds, and the contract of a worker of any version."""
    own, inner = draw(fields), draw(fields)
    operators, workers = draw(VERSIONS), draw(VERSIONS)
    values: dict[str, Any] = some(draw, own, operators)
    values["part"] = some(draw, inner, operators)
    values["parts"] = [some(draw, inner, operators) for _ in range(draw(st.integers(0, 2)))]
    if operators >= 3 and draw(st.booleans()):
        values["late"] = some(draw, inner, operators)
    return model_at(operators, own, inner)(**values), model_at(workers, own, inner), workers


@given(skews())
def test_a_worker_is_never_written_a_field_that_it_does_not_know(
    skew: tuple[Contract, type[Contract], int],
) -> None:
    held, worker_model, version = skew
    read = worker_model.model_validate_json(held.to_json(version))
    unknown = held.unknown_to(version)
    if not unknown:
        assert read.canonical() == held.canonical(), "the hash does not depend on who computes it"
        assert read.model_dump(exclude_defaults=True) == held.model_dump(exclude_defaults=True)
    else:
        assert read.canonical() != held.canonical()


@given(skews())
def test_writing_a_contract_again_gives_the_same_text(skew: tuple[Contract, type[Contract], int]) -> None:
    held, worker_model, version = skew
    text = held.to_json(version)
    assert worker_model.model_validate_json(text).to_json(version) == text


def test_a_setting_that_a_worker_does_not_know_is_named() -> None:
    new = model_at(4, {"batch_size": 2}, {"top_k": 4})
    held = new(batch_size=8, part={"top_k": 3}, parts=[{}, {"top_k": 1}], late={})
    assert held.unknown_to(1) == ["batchSize", "part.topK", "parts.1.topK", "late"]
    assert held.unknown_to(3) == ["part.topK", "parts.1.topK"]
    assert held.unknown_to(4) == []


def test_the_version_of_the_contract_is_the_newest_field() -> None:
    def versions(model: type[Contract]) -> list[int]:
        return [
            mark.version
            for field in model.model_fields.values()
            for mark in field.metadata
            if isinstance(mark, Since)
        ]

    ours = [model for model in Contract.__subclasses__() if model.__module__.startswith(spec.__name__)]
    assert Recipe in ours
    assert max((since for model in ours for since in versions(model)), default=1) == CONTRACT_VERSION


def test_hashes_of_recipes_stay() -> None:
    """A plan that lies at a destination is found again by this number."""
    recipe = Recipe(
        job=Owner(namespace="default", name="books"),
        source=Source(uri="s3://in/docs"),
        prompts=[Prompt(name="faq", template="{{document}} Why?")],
        model=Model(name="owner/model"),
        output=Output(uri="s3://out/books"),
    )
    other = recipe.model_copy(update={"parallelism": 7, "job": Owner(namespace="a", name="b")})
    assert recipe.hash == other.hash
    assert recipe.model_copy(update={"model": Model(name="owner/other")}).hash != recipe.hash
    assert recipe.hash == "4dfc79411abe61c9"
    assert EngineSettings().to_json() == EngineSettings().model_dump_json(by_alias=True, exclude_none=True)


def test_hashes_of_prompts_tell_what_the_model_is_given() -> None:
    plain = Prompt(name="faq", template="{{document}} Why?")
    assert plain.hash == hashlib.sha256(plain.template.encode()).hexdigest()[:16], "as in the first version"
    told = [plain.model_copy(update={"system": text}) for text in ("You teach.", "You teach.\n")]
    assert len({plain.hash, *(prompt.hash for prompt in told)}) == 3
    described = plain.model_copy(update={"structure": "qa-pairs", "expected_tokens": 437})
    assert described.hash == plain.hash


def test_a_better_guess_of_a_length_does_not_make_another_recipe() -> None:
    def recipe(**fields: Any) -> Recipe:
        return Recipe(
            job=Owner(namespace="default", name="books"),
            source=Source(uri="s3://in/docs"),
            prompts=[Prompt(name="faq", template="{{document}} Why?", **fields)],
            model=Model(name="owner/model"),
            output=Output(uri="s3://out/books"),
        )

    assert recipe(expected_tokens=437).hash == recipe(expected_tokens=291).hash == recipe().hash
    assert recipe(system="You teach.").hash != recipe().hash
    assert recipe(structure="table").hash != recipe().hash
