"""House prompts: those that the installer adds to the library for every job, a file each in one folder.

A file is as a job's own prompt file may be. One that can't be used takes nothing else down: only jobs that
name it are told. So are jobs that name a prompt which both the folder and the library have. To prefer the
folder's would change a built-in prompt unseen. To prefer the library's would change a house prompt unseen,
when an upgrade brings a built-in one of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from rephrase_operator.library.facts import Facts
from rephrase_operator.library.files import LibraryPrompt, PromptFile, check_name, library, read_prompt_file


@dataclass(frozen=True)
class BrokenPrompt:
    """A house prompt that can't be used."""

    why: str


Library: TypeAlias = Mapping[str, LibraryPrompt | PromptFile[Facts] | BrokenPrompt]
"""Prompts by name, those that jobs can't use among them."""


def with_house_prompts(folder: Path) -> Library:
    """The library and the prompts of a folder, whose names are those of its files without .md.

    Raises OSError when the folder can't be listed.
    """
    files = sorted(path for path in folder.iterdir() if path.name.endswith(".md"))
    house = {path.name.removesuffix(".md"): _read(path) for path in files}
    return dict(sorted((library() | house).items()))


def _read(path: Path) -> PromptFile[Facts] | BrokenPrompt:
    try:
        name = check_name(path.name)
        if name in library():
            return BrokenPrompt("the library has a prompt of this name: give this one another")
        return read_prompt_file(path.read_text("utf-8"))
    except UnicodeDecodeError:
        return BrokenPrompt("it is not UTF-8 text")
    except (ValueError, OSError) as error:
        return BrokenPrompt(str(error))
