"""Prompts are what `apply_chat_template` makes of them, for every family of tokenizers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from rephrase_worker.rendering.errors import DocumentError
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.tokenizer import HuggingFaceTokenizer
from rephrase_worker.spec import PLACEHOLDER, Prompt
from tests.worker.chat_families import FAMILIES, build, respelt

PROMPTS = [
    Prompt(name="first", template="{{document}}\n\nSay it again in other words."),
    Prompt(name="last", template="Summarize this in a sentence. {{document}}"),
    Prompt(name="bare", template="{{document}}"),
    Prompt(name="tight", template="<{{document}}>"),
]

WORDS = (
    *(
        "Hello",
        "hello",
        " the",
        "def",
        "return",
        "self",
        "3.14",
        "2026",
        "naïve",
        "é",
        "e\u0301",
        "日本",
        "🜁",
    ),
    *("ü", "÷", "①", " ", "  ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "▁", "\u200b", ".", ",", "--", "'s"),
    *("<", ">", "|", "[", "]", "#", "/"),
)
HALVES = (
    *("<|", "|>", "im_start", "<|im_", "end|>", "[IN", "ST]", "user", "User", "<｜", "｜>", "</", "think>"),
    *("US", "ER", "<s", "s>"),
)

plain = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=14).map("".join)
seeded = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@cache
def tokenizer(family: str) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(build(family), family)


@cache
def renderer(family: str) -> Renderer:
    return Renderer(tokenizer(family), PROMPTS, max_model_len=100_000, max_tokens=40)


def control_strings(family: str) -> list[str]:
    return [*FAMILIES[family].in_vocabulary, *FAMILIES[family].control]


def chat_template(wrapped: PreTrainedTokenizerFast, prompt: Prompt, document: str) -> list[int]:
    ids = wrapped.apply_chat_template(
        [{"role": "user", "content": prompt.template.replace(PLACEHOLDER, document)}],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert isinstance(ids, list)
    return ids


@pytest.mark.parametrize("family", FAMILIES)
@seeded
@given(document=plain)
def test_a_document_without_control_strings_is_rendered_as_the_chat_template_does(
    family: str, document: str
) -> None:
    rendered = renderer(family).render(document)
    wrapped = build(family)
    for prompt in PROMPTS:
        assert rendered.prompt_token_ids[prompt.name] == chat_template(wrapped, prompt, document)
    assert not rendered.truncated


def documents_with_control_strings(family: str) -> st.SearchStrategy[str]:
    marks = control_strings(family)
    pieces = (
        st.sampled_from(marks)
        | st.sampled_from((*WORDS, *HALVES))
        | st.sampled_from(marks).flatmap(
            lambda mark: st.sampled_from([mark[:-1], mark[1:], mark.upper(), mark.lower()])
        )
        | st.sampled_from(marks).map(lambda mark: f"  {mark}\n ")
        | st.tuples(*[st.sampled_from(marks)] * 2).map(lambda two: two[0][:2] + two[1] + two[0][2:])
    )
    return st.lists(pieces, min_size=1, max_size=10).map("".join)


@pytest.mark.parametrize("family", FAMILIES)
@seeded
@given(data=st.data())
def test_a_control_string_in_a_document_is_its_plain_characters_and_changes_nothing_else(
    family: str, data: st.DataObject
) -> None:
    document = data.draw(documents_with_control_strings(family))
    rendered = renderer(family).render(document)
    for prompt in PROMPTS:
        expected = chat_template(build(family, respelt), prompt, document)
        assert rendered.prompt_token_ids[prompt.name] == expected


@pytest.mark.parametrize("family", FAMILIES)
@seeded
@given(data=st.data())
def test_a_control_string_that_document_and_instruction_spell_together_is_plain_text(
    family: str, data: st.DataObject
) -> None:
    mark = data.draw(st.sampled_from([mark for mark in control_strings(family) if len(mark) > 1]))
    first, last = sorted(data.draw(st.lists(st.integers(0, len(mark)), min_size=2, max_size=2, unique=True)))
    around = data.draw(st.sampled_from(["", "One otter. "]))
    prompt = Prompt(name="split", template=f"{around}{mark[:first]}{PLACEHOLDER}{mark[last:]}{around}")
    document = mark[first:last]
    narrow = Renderer(tokenizer(family), [prompt], max_model_len=100_000, max_tokens=40)
    expected = chat_template(build(family, respelt), prompt, document)
    assert narrow.render(document).prompt_token_ids["split"] == expected


@pytest.mark.parametrize("family", FAMILIES)
@seeded
@given(data=st.data(), room=st.integers(1, 30))
def test_a_truncated_document_is_a_beginning_of_it_and_its_control_strings_stay_plain_text(
    family: str, data: st.DataObject, room: int
) -> None:
    document = data.draw(documents_with_control_strings(family))
    instruction = max(map(len, renderer(family).render("x").prompt_token_ids.values()))
    narrow = Renderer(tokenizer(family), PROMPTS, max_model_len=instruction + room + 40, max_tokens=40)
    try:
        rendered = narrow.render(narrow.shorten(document))
    except DocumentError:
        return
    assert max(map(len, rendered.prompt_token_ids.values())) <= instruction + room
    beginnings = [document[:length] for length in range(len(document), 0, -1)]
    if not rendered.truncated:
        beginnings = [document]
    assert any(
        renderer(family).render(beginning).prompt_token_ids == rendered.prompt_token_ids
        for beginning in beginnings
    )


@cache
def plain_tokenizer(family: str, spell: Callable[[str], str] = str) -> PreTrainedTokenizerFast:
    """The family's tokenizer as a model without a chat template has it."""
    wrapped = copy.deepcopy(build(family, spell))
    wrapped.chat_template = None
    return wrapped


@pytest.mark.parametrize("family", FAMILIES)
@seeded
@given(data=st.data())
def test_a_model_without_a_chat_template_gets_what_its_tokenizer_makes_of_the_prompt(
    family: str, data: st.DataObject
) -> None:
    forged = data.draw(st.booleans())
    document = data.draw(documents_with_control_strings(family) if forged else plain)
    completing = Renderer(
        HuggingFaceTokenizer(plain_tokenizer(family), family), PROMPTS, max_model_len=100_000, max_tokens=40
    )
    rendered = completing.render(document)
    truth = plain_tokenizer(family, respelt if forged else str)
    for prompt in PROMPTS:
        expected = truth(prompt.template.replace(PLACEHOLDER, document)).input_ids
        assert rendered.prompt_token_ids[prompt.name] == expected
