"""Prompt files: the library's own, users', and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_operator.library import Layout, PromptFile, library, read_library, read_prompt_file
from rephrase_worker.quality import structure
from rephrase_worker.spec import PLACEHOLDER, Prompt

FORMATS = [
    *("math", "table", "faq", "tutorial", "article", "commentary", "discussion", "explanation", "narrative"),
    *("continue", "summarize"),
    *("distill", "diverse-qa-pairs", "extract-knowledge", "knowledge-list", "wikipedia-style"),
    *("guided-rewrite-original", "guided-rewrite-improved"),
]
"""New ones, then those of BeyondWeb, of Nemotron-CC and of REWIRE."""

HEAD = """title: Short questions
intent: Questions for children
origin: Ours
structure: qa-pairs
expectedTokens: 80
sampling: {temperature: 0.5, maxTokens: 200}
version: 2
"""


def file_of(head: str = HEAD, instruction: str = "Ask three questions about the text.") -> str:
    return f"---\n{head}---\n{instruction}\n"


def test_the_library_has_every_format_of_the_published_recipes() -> None:
    assert set(FORMATS) <= set(library())


@pytest.mark.parametrize("name", sorted(library()))
def test_an_instruction_reads_well_before_and_after_the_document(name: str) -> None:
    instruction = library()[name].instruction.lower()
    assert not [
        word for word in ("text above", "above text", "text below", "following text") if word in instruction
    ]
    assert "{{" not in instruction, "not every source has further columns"


@pytest.mark.parametrize("name", FORMATS)
def test_an_instruction_is_short_and_ends_with_how_to_begin(name: str) -> None:
    instruction = library()[name].instruction
    assert "the text" in instruction
    assert instruction.splitlines()[-1].startswith("Begin ")
    assert len(instruction.split()) < 100


@pytest.mark.parametrize("name", sorted(library()))
def test_the_structure_of_a_prompt_has_a_checker(name: str) -> None:
    assert library()[name].facts.structure in structure.names()


def test_published_lengths_are_kept() -> None:
    means = {name: library()[name].facts.expected_tokens for name in ("faq", "math", "table", "tutorial")}
    assert means == {"faq": 437, "math": 291, "table": 273, "tutorial": 436}


def test_published_shares_are_kept() -> None:
    shares = {name: prompt.facts.mix_share for name, prompt in library().items() if prompt.facts.mix_share}
    assert shares == {"faq": 0.6, "math": 0.8, "table": 0.7, "tutorial": 0.6}


def test_all_prompts_with_the_document_first_begin_alike() -> None:
    templates = [prompt.template(Layout.DOCUMENT_FIRST) for prompt in library().values()]
    assert len({template.partition(PLACEHOLDER)[0] for template in templates}) == 1
    assert templates == [prompt.template() for prompt in library().values()], "it is the default"


@given(st.text(st.sampled_from("a .{}-#\n\u00e9"), max_size=60), st.sampled_from(Layout))
def test_a_layout_holds_instruction_and_document_once_and_in_order(words: str, layout: Layout) -> None:
    instruction = f"Explain {words} now."
    found = read_prompt_file(file_of(instruction=instruction))
    template = found.template(layout)
    assert Prompt(name="own", template=template).template.count(PLACEHOLDER) == 1
    before, after = template.split(PLACEHOLDER)
    assert (instruction in after, instruction in before) == (
        layout is Layout.DOCUMENT_FIRST,
        layout is Layout.INSTRUCTION_FIRST,
    )


def changed(old: str, new: str) -> str:
    assert old in HEAD
    return file_of(HEAD.replace(old, new))


BROKEN = [
    (
        file_of(HEAD.replace("title: Short questions\nintent: Questions for children\n", "")),
        "title is missing; intent",
    ),
    (changed("expectedTokens: 80\n", ""), "expectedTokens is missing"),
    (changed("intent:", "intnt:"), "intnt is no field"),
    (
        changed("expectedTokens: 80", "expectedTokens: many"),
        "expectedTokens: Input should be a valid integer",
    ),
    (
        changed("expectedTokens: 80", "expectedTokens: '80'"),
        "expectedTokens: Input should be a valid integer",
    ),
    (changed("expectedTokens: 80", "expectedTokens: 0"), "expectedTokens: Input should be greater"),
    (changed("expectedTokens: 80", "expectedTokens: 300"), "is above sampling.maxTokens"),
    (changed("version: 2", "version: 2.5"), "version: "),
    (changed("version: 2", "version: true"), "version: "),
    (changed("title: Short questions", "title: 7"), "title: Input should be a valid string"),
    (changed("title: Short questions", "title: |\n  two\n  lines"), "title has to be one line"),
    (changed("structure: qa-pairs", "structure: Q/A pairs"), "structure: "),
    (changed("temperature: 0.5, ", ""), "sampling.temperature is missing"),
    (changed("temperature: 0.5", "temperature: 3"), "sampling.temperature: "),
    (changed("temperature: 0.5", "temprature: 0.5"), "sampling.temprature is no field"),
    (changed("{temperature: 0.5, maxTokens: 200}", "0.5"), "sampling: "),
    (
        changed("version: 2", "version: 2\nversion: 3"),
        "line 8 of the front matter is no YAML: a key stands there twice",
    ),
    (changed("title: Short questions", "title: [Short"), "no YAML"),
    (changed("title: Short questions", "title: !!python/object:os.system {}"), "no YAML"),
    (file_of("- title\n"), "holds no fields"),
    (file_of(""), "holds no fields"),
    (file_of(instruction="  "), "no instruction"),
    (file_of(instruction="Read {{document}} and ask."), "the layout puts the document in"),
    (file_of(instruction="x" * 16384), "at most 16384"),
    (file_of().replace("---\nAsk", "Ask"), "does not end"),
    ("", "empty"),
    ("\n  \n", "empty"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_the_error_of_a_wrong_file_says_file_and_fault(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.md").write_text(text)
    with pytest.raises(ValueError, match=r"^own\.md: ") as caught:
        read_library(tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "name", ["Own.md", "my prompt.md", "-own.md", "own-.md", f"{'x' * 41}.md", ".md", "a.b.md"]
)
def test_the_name_of_a_file_has_to_be_the_name_of_a_prompt(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(file_of())
    with pytest.raises(ValueError, match="the file's name is the prompt's"):
        read_library(tmp_path)


def test_a_file_is_a_prompt_of_the_library_and_other_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "own.md").write_text(file_of())
    (tmp_path / "notes.txt").write_text("Remember the milk.")
    found = read_library(tmp_path)
    assert list(found) == ["own"]
    assert (found["own"].facts.sampling.max_tokens, found["own"].facts.version) == (200, 2)
    assert found["own"].instruction == "Ask three questions about the text."


def test_files_of_other_editors_are_read_alike() -> None:
    windows = "\ufeff" + file_of().replace("\n", "\r\n") + "\r\n\r\n"
    assert read_prompt_file(windows) == read_prompt_file(file_of())


def test_a_users_file_says_as_much_as_the_user_likes() -> None:
    found = read_prompt_file(file_of("title: Mine\nsystem: You teach.\n", "Explain the text to {{author}}."))
    assert (found.facts.title, found.facts.system, found.facts.structure) == ("Mine", "You teach.", None)
    assert found.template().endswith("Explain the text to {{author}}.")


def test_a_file_without_front_matter_is_the_template_itself() -> None:
    found: PromptFile = read_prompt_file("\nWhat is {{title}} about?\n\n{{document}}\n")
    assert found.template() == "What is {{title}} about?\n\n{{document}}"
    with pytest.raises(ValueError, match="remove layout"):
        found.template(Layout.DOCUMENT_FIRST)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No placeholder.", "0 times"),
        ("{{document}} and {{document}}", "2 times"),
        ("{{ document }}", "0 times"),
        ("x" * 16384 + "{{document}}", "at most 16384"),
        ("", "empty"),
    ],
)
def test_a_template_that_can_not_work_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_prompt_file(text)


def test_errors_quote_no_values() -> None:
    """The text may come from a ConfigMap that was never meant to be a prompt."""
    private = f"---\npassword: hunter2\ntitle: [hunter2, hunter2]\nversion: hunter2\n---\n{PLACEHOLDER}\n"
    with pytest.raises(ValueError, match="password is no field") as caught:
        read_prompt_file(private)
    assert "hunter2" not in str(caught.value)
