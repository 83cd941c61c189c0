"""Which prompt a command means: one of the library by its name, or a file of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rephrase_operator.library import Facts, LibraryPrompt, PromptFile, library, read_prompt_file


class UnknownPromptError(Exception):
    """There is no such prompt, or its file can't be used. The message is for the user."""


@dataclass(frozen=True)
class ChosenPrompt:
    """A prompt, and the name that it has in what a command shows."""

    name: str
    prompt: LibraryPrompt | PromptFile[Facts]

    @property
    def has_layouts(self) -> bool:
        """False for a template that says itself where the document stands."""
        return isinstance(self.prompt, LibraryPrompt) or not self.prompt.is_template


def choose(given: str) -> ChosenPrompt:
    """The prompt that a user names. A name of the library wins over a file. Raises UnknownPromptError."""
    known = library()
    if given in known:
        return ChosenPrompt(given, known[given])
    path = Path(given)
    if not path.is_file():
        raise UnknownPromptError(
            f"{given}: no prompt of the library and no file. The library has {', '.join(known)}."
        )
    try:
        return ChosenPrompt(path.stem, read_prompt_file(path.read_text("utf-8")))
    except UnicodeDecodeError as error:
        raise UnknownPromptError(f"{given}: it is not UTF-8 text") from error
    except (ValueError, OSError) as error:
        raise UnknownPromptError(f"{given}: {error}") from error
