"""The structure checkers as a package: found by themselves, described, fast and never at a loss."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rephrase_worker.quality import structure

NAMES = structure.names()

FRAGMENTS = [
    "Q: ",
    "A: ",
    "**Q1:** ",
    "# ",
    "## ",
    "- ",
    "1. ",
    "2) ",
    "Step 3: ",
    "| a | b |",
    "|---|---|",
    "Teacher: ",
    "— ",
    "\\boxed{",
    "}",
    "Answer: 42",
    "```",
    "> ",
    "**",
    "问：",
    "第六步",
    "1",
    "=",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\n\n",
    "What is it?",
    "It is so.",
    "\ud800",
    "\u2028",
    "é",
    "🦊",
    "\0",
]
ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
)


def test_every_checker_has_a_name_and_a_line_that_describes_it() -> None:
    assert {"dialogue", "list", "qa-pairs", "steps", "table", "worked-solution"} <= set(NAMES)
    for name in NAMES:
        description = structure.description(name)
        assert description.endswith("."), f"{name}: the docstring's first line has to be a sentence"
        assert len(description) <= 110


def test_an_unknown_checker_is_refused_with_those_that_there_are() -> None:
    for ask in (lambda: structure.holds("tabel", ""), lambda: structure.description("tabel")):
        with pytest.raises(ValueError, match=r"no structure checker named tabel; .*qa-pairs.* table"):
            ask()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_holds_of_nothing(name: str) -> None:
    assert not any(structure.holds(name, text) for text in ("", " ", "\n\r\n\t", "\u2028", "\ud800"))


@pytest.mark.parametrize("name", NAMES)
@given(text=ANY_TEXT)
def test_any_text_gets_an_answer_whatever_ends_its_lines(name: str, text: str) -> None:
    answer = structure.holds(name, text)
    assert isinstance(answer, bool)
    assert structure.holds(name, text) is answer
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    assert structure.holds(name, unix.replace("\n", "\r\n")) is structure.holds(name, unix)


@pytest.mark.parametrize("name", NAMES)
def test_the_lines_that_run_grow_with_the_text_and_no_faster(name: str) -> None:
    """Lines of Python are counted, not time."""
    for fragment in (*FRAGMENTS, "a ", "Q: x? A: y. ", "Name Name Name Name ", "**a** ", "| a "):
        for end in ("", "\n", "."):
            short, long = (operations(name, (fragment + end) * count) for count in (200, 800))
            assert long <= 4.4 * short + 2_000, (fragment, end)


def operations(name: str, text: str) -> int:
    """Lines of Python that a checker runs over a text."""
    count = 0

    def trace(*_: object) -> Callable[..., object]:
        nonlocal count
        count += 1
        return trace

    structure.holds(name, "")
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        structure.holds(name, text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", NAMES)
def test_a_megabyte_gets_an_answer(name: str) -> None:
    """A pattern that backtracks over the whole text would take hours here, not a second."""
    for fragment in (*FRAGMENTS, "a", "a ", "a b: ", "1 ", "| a "):
        structure.holds(name, fragment * (1_000_000 // len(fragment)))
