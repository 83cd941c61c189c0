"""Prompt templates taken apart: `{{document}}`, the placeholders of other columns, and the text around them.

A placeholder is two braces, the name of a column, and two braces. The name begins with a letter, a digit or
an underscore, and goes on with these, dots, hyphens, slashes and spaces. Anything else in braces is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rephrase_worker.rendering.tokenizer import Instruction
from rephrase_worker.spec import PLACEHOLDER, Prompt, Reason, WorkerError

_DOCUMENT = PLACEHOLDER[2:-2]
_PLACEHOLDER = re.compile(r"\{\{([ \t]*\w[\w ./-]*[ \t]*)\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it stands around its placeholders.

    What lies between the first and the last of them is not the job's own text alone. All of it is treated
    as text from the web, so that no value can forge a control token.
    """

    instruction: Instruction
    """What stands before the first placeholder and after the last one."""
    middle: tuple[str, ...]
    """In turn: the name of a column (or of the document), the text up to the next one, and so on."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it has placeholders for, in order; each once."""
        return tuple(dict.fromkeys(name for name in self.middle[::2] if name != _DOCUMENT))

    def fill(self, document: str, fields: Mapping[str, str]) -> str:
        """The middle for a document and the texts of its columns."""
        if len(self.middle) == 1:
            return document
        values = {**fields, _DOCUMENT: document}
        return "".join(part if number % 2 else values[part] for number, part in enumerate(self.middle))


def parse(prompt: Prompt) -> Template:
    """Take a prompt apart. Its template has to hold `{{document}}` once (`check_templates`)."""
    before, *parts = _PLACEHOLDER.split(prompt.template)
    return Template(Instruction(before, parts[-1], prompt.system), tuple(parts[:-1]))


def placeholders(prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """The columns that the prompts have placeholders for, each once."""
    return tuple(dict.fromkeys(name for prompt in prompts for name in parse(prompt).columns))


def check_templates(prompts: Sequence[Prompt]) -> None:
    """Refuse templates that don't hold the document exactly once, and names that repeat.

    Raises WorkerError(INVALID_RECIPE).
    """
    names = [prompt.name for prompt in prompts]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"prompts: the name {', '.join(repeated)} is used more than once; each has a folder of its own.",
        )
    for prompt in prompts:
        for name in _PLACEHOLDER.findall(prompt.template):
            if name != name.strip():
                raise WorkerError(
                    Reason.INVALID_RECIPE,
                    f"prompts: the template of {prompt.name} holds {{{{{name}}}}}: write "
                    f"{{{{{name.strip()}}}}}, without spaces, where the text of that column goes.",
                )
        if (count := prompt.template.count(PLACEHOLDER)) != 1:
            raise WorkerError(
                Reason.INVALID_RECIPE,
                f"prompts: the template of {prompt.name} holds {PLACEHOLDER} {count} times; it has to stand "
                "there exactly once, where the document's text goes.",
            )
