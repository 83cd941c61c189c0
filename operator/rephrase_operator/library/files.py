"""Prompt files. A file is a Markdown file in one of two forms.

With front matter it holds the instruction alone, and the layout puts the document before or after it; every
file of the library has this form. Without front matter it is a template with the document's placeholder,
exactly as the model will see it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Generic, TypeVar

from rephrase_operator.library.facts import FENCE, Facts, LibraryFacts, read_facts
from rephrase_operator.library.layout import Layout, lay_out
from rephrase_worker.spec import PLACEHOLDER

TEMPLATE_LIMIT = 16384
"""Longest template in characters, with the placeholder: the contract's limit."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")

Kind = TypeVar("Kind", bound=Facts)


@dataclass(frozen=True)
class PromptFile(Generic[Kind]):
    """A prompt file that was read."""

    facts: Kind
    text: str
    """The instruction, or the template."""
    is_template: bool
    """True without front matter."""

    def template(self, layout: Layout | None = None) -> str:
        """The template that workers get. Raises ValueError for a layout that the file can't have."""
        if not self.is_template:
            return lay_out(self.text, layout or Layout.DOCUMENT_FIRST)
        if layout is not None:
            raise ValueError(
                "a template without front matter has the document where it says so: remove layout, or turn "
                "the template into front matter and an instruction"
            )
        return self.text


@dataclass(frozen=True)
class LibraryPrompt:
    """A prompt that ships with the operator."""

    name: str
    facts: LibraryFacts
    instruction: str

    def template(self, layout: Layout | None = None) -> str:
        """The template that workers get."""
        return lay_out(self.instruction, layout or Layout.DOCUMENT_FIRST)


def read_prompt_file(text: str) -> PromptFile[Facts]:
    """Read a user's own prompt file, of either form. Raises ValueError with what is wrong."""
    text = _clean(text)
    if text.split("\n", 1)[0].rstrip() == FENCE:
        return _read(Facts, text)
    _check_length(text)
    if (count := text.count(PLACEHOLDER)) != 1:
        raise ValueError(
            f"it holds {PLACEHOLDER} {count} times. A template has it exactly once, where the document goes; "
            "an instruction without it needs front matter above it, between two lines of ---"
        )
    return PromptFile(facts=Facts(), text=text, is_template=True)


def read_library_file(file_name: str, text: str) -> LibraryPrompt:
    """Read a file of the library. Raises ValueError with the file's name and what is wrong."""
    try:
        name = check_name(file_name)
        text = _clean(text)
        if text.split("\n", 1)[0].rstrip() != FENCE:
            raise ValueError("expected front matter between two lines of ---")
        found = _read(LibraryFacts, text)
    except ValueError as error:
        raise ValueError(f"{file_name}: {error}") from error
    return LibraryPrompt(name=name, facts=found.facts, instruction=found.text)


def check_name(file_name: str) -> str:
    """The name of the prompt in a file of this name. Raises ValueError if no prompt can have it."""
    name = file_name.removesuffix(".md")
    if not _NAME.fullmatch(name):
        raise ValueError(
            "the file's name is the prompt's: up to 40 lower-case letters, digits and hyphens, and .md"
        )
    return name


def read_library(folder: Traversable) -> dict[str, LibraryPrompt]:
    """Every prompt of a folder by name, sorted. Raises ValueError with the file's name and what is wrong."""
    files = sorted((file.name, file) for file in folder.iterdir() if file.name.endswith(".md"))
    found = (read_library_file(name, file.read_text("utf-8")) for name, file in files)
    return {prompt.name: prompt for prompt in found}


@cache
def library() -> dict[str, LibraryPrompt]:
    """Every prompt of the library by name."""
    return read_library(resources.files("rephrase_operator") / "prompts")


def _read(kind: type[Kind], text: str) -> PromptFile[Kind]:
    """Read a file that begins with front matter."""
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), None)
    if end is None:
        raise ValueError("the front matter does not end: a second line of --- is missing")
    facts = read_facts(kind, "\n".join(lines[1:end]))
    instruction = "\n".join(lines[end + 1 :]).strip()
    if not instruction:
        raise ValueError("there is no instruction below the front matter")
    if PLACEHOLDER in instruction:
        raise ValueError(
            f"the instruction holds {PLACEHOLDER}: with front matter the layout puts the document in. Remove "
            "it, or remove the front matter to have a template"
        )
    _check_length(lay_out(instruction, Layout.DOCUMENT_FIRST))
    return PromptFile(facts=facts, text=instruction, is_template=False)


def _check_length(template: str) -> None:
    if len(template) > TEMPLATE_LIMIT:
        raise ValueError(f"the prompt has {len(template)} characters; at most {TEMPLATE_LIMIT} are possible")


def _clean(text: str) -> str:
    """The text as it was meant: editors add a byte-order mark, carriage returns and blank lines."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").strip()
    if not text:
        raise ValueError("it is empty")
    return text
