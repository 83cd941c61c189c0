"""The prompt library: a Markdown file for each prompt, with front matter and the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from rephrase_worker.spec import PLACEHOLDER


@dataclass(frozen=True)
class LibraryPrompt:
    """A prompt that ships with the operator."""

    name: str
    description: str
    template: str


def parse(file_name: str, text: str) -> LibraryPrompt:
    """Read one file of the library. Raises ValueError with the file's name and what is wrong."""
    head, fence, template = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not fence:
        raise ValueError(f"{file_name}: expected front matter between two lines of ---")
    fields = yaml.safe_load(head)
    missing = {"name", "description"} - set(fields or {})
    if missing:
        raise ValueError(f"{file_name}: the front matter lacks {', '.join(sorted(missing))}")
    if f"{fields['name']}.md" != file_name:
        raise ValueError(f"{file_name}: the prompt is named {fields['name']}; name and file must agree")
    template = template.strip()
    if template.count(PLACEHOLDER) != 1:
        raise ValueError(f"{file_name}: the template must contain {PLACEHOLDER} exactly once")
    return LibraryPrompt(name=fields["name"], description=fields["description"], template=template)


@cache
def library() -> Mapping[str, LibraryPrompt]:
    """Every prompt of the library by name."""
    folder = resources.files("rephrase_operator") / "prompts"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".md")), key=lambda file: file.name
    )
    found = (parse(file.name, file.read_text("utf-8")) for file in files if file.name != "README.md")
    return {prompt.name: prompt for prompt in found}
