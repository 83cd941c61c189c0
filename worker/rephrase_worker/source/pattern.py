"""Globs that are matched name by name during the walk, so that folders that can't match are never listed."""

from __future__ import annotations

import re

from fsspec.core import has_magic
from fsspec.utils import glob_translate

States = frozenset[int]
"""Where in the pattern a path may be: the numbers of the parts that could match next."""


class Pattern:
    """The parts of a glob below the source's root. `**` stands for any number of folders, none included.

    A part also matches the name that is equal to it, whatever it means as a glob. Raises ValueError for a
    part that is no pattern.
    """

    def __init__(self, parts: list[str]) -> None:
        self._parts = parts
        self._matchers = [None if part == "**" else re.compile(glob_translate(part)) for part in parts]
        last = parts[-1]
        stem, dot, suffix = last.rpartition(".")
        self.spells_suffix = bool(stem and dot) and not has_magic(suffix)
        """Whether everything that matches has a suffix that the pattern spells out."""
        self.is_glob = parts != ["**"]
        """Whether it asks for less than everything in a folder."""
        self.hidden_prefixes = tuple({".", "_"} - {part[0] for part in parts})
        """Names that start with one of these are passed over, unless the pattern spells the character out."""

    @classmethod
    def everything(cls) -> Pattern:
        """The pattern for everything below a folder."""
        return cls(["**"])

    @property
    def start(self) -> States:
        """The states before the first name."""
        return self._closure({0})

    def step(self, states: States, name: str) -> States:
        """The states after one more name."""
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
        """Whether a file whose last name led to these states is matched."""
        return len(self._parts) in states

    def leads_on(self, states: States) -> bool:
        """Whether something in a folder whose name led to these states could match."""
        return any(state < len(self._parts) for state in states)

    def _closure(self, states: set[int]) -> States:
        """The states, and those after a `**` that matches no more folders."""
        for state in sorted(states):
            following = state
            while following < len(self._parts) and self._parts[following] == "**":
                following += 1
                states.add(following)
        return frozenset(states)
