"""Reads commands out of shell scripts and terminal sessions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator


def commands(script: str) -> Iterator[list[str]]:
    """The commands of a script, without comments, assignments before a command, and redirections.

    Raises ValueError for what this little reader can't follow.
    """
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        yield from _split(list(lexer))


def typed(session: str) -> Iterator[list[str]]:
    """The commands of a terminal session: its lines that begin with `$ `, and those that continue them."""
    for line in session.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            yield from commands(line[2:])


def _split(parts: list[str]) -> Iterator[list[str]]:
    words: list[str] = []
    before = ""
    for part in [*parts, ";"]:
        if part == "<<":
            raise ValueError("a here-document: show the file as a block with a title instead")
        if not set(part) - set("|&;"):
            while words and re.fullmatch(r"[A-Za-z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        elif not before.strip("<>") and before:
            pass  # the file of a redirection
        elif part.strip("<>"):
            words.append(part)
        before = part
