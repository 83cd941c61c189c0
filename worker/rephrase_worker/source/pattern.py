"""Globs, matched name by name while the tree is walked: folders that can't match are never listed."""

from __future__ import annotations

import re

from fsspec.core import has_magic
from fsspec.utils import glob_translate

States = frozenset[int]
"""Where in the pattern a path may be: the parts that still have to match start at these numbers."""


class Pattern:
    """The parts of a glob below the source's root. `**` stands for any number of folders, none included.

    A part also matches the name that is the same character by character, however it reads as a glob.
    Raises ValueError for a part that is no pattern.
    """

    def __init__(self, parts: list[str]) -> None:
        self._parts = parts
        self._matchers = [None if part == "**" else re.compile(glob_translate(part)) for part in parts]
        last = parts[-1]
        stem, dot, suffix = last.rpartition(".")
        self.spells_suffix = bool(stem and dot) and not has_magic(suffix)
        """Whether all that matches ends in a suffix that the pattern gives."""
        self.is_glob = parts != ["**"]
        """Whether anything is asked for but all that lies in a folder."""
        self.hidden_prefixes = tuple({".", "_"} - {part[0] for part in parts})
        """Names that start with one of these are passed over: a pattern has to spell that out."""

    @classmethod
    def everything(cls) -> Pattern:
        """All that lies below a folder."""
        return cls(["**"])

    @property
    def start(self) -> States:
        """Before the first name."""
        return self._closure({0})

    def step(self, states: States, name: str) -> States:
        """Where the pattern is after one more name."""
        reached = set()
        for state in states:
            if state == len(self._parts):
                continue
            matcher = self._matchers[state]
            if matcher is None:
                reached.add(state)
            elif name == self._parts[state] or matcher.match(name):
                reached.add(state + 1)
        return self._closure(reached)

    def matches(self, states: States) -> bool:
        """Whether a file is matched whose last name led here."""
        return len(self._parts) in states

    def leads_on(self, states: States) -> bool:
        """Whether something in a folder could match whose name led here."""
        return any(state < len(self._parts) for state in states)

    def _closure(self, states: set[int]) -> States:
        """With the states that a `**` gives by matching nothing more."""
        for state in sorted(states):
            following = state
            while following < len(self._parts) and self._parts[following] == "**":
                following += 1
                states.add(following)
        return frozenset(states)
