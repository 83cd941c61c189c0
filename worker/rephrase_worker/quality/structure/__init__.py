"""Structure checkers: whether an output has the structure that its prompt asks for.

Every public module of this package is a checker. It is named after its module (`qa_pairs.py` is
`qa-pairs`), the first line of its docstring describes it, and its function `holds(text)` decides. So a new
checker is one file. Modules that begin with `_` are helpers.

Checkers are heuristics for rates. They know nothing but the text, take any text in time linear in its
length, and never raise. All of them want a whole end: an output that the token limit has cut does not hold.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType


@cache
def names() -> tuple[str, ...]:
    """Every checker's name, sorted."""
    return tuple(sorted(_modules()))


def holds(name: str, text: str) -> bool:
    """Whether the text has this structure. Raises ValueError when there is no such checker."""
    return _checker(name)(text)


def description(name: str) -> str:
    """What the structure is, in a line. Raises ValueError when there is no such checker."""
    return (_module(name).__doc__ or "").partition("\n")[0]


@cache
def _checker(name: str) -> Callable[[str], bool]:
    checker: Callable[[str], bool] = _module(name).holds
    return checker


def _module(name: str) -> ModuleType:
    try:
        module = _modules()[name]
    except KeyError:
        raise ValueError(
            f"there is no structure checker named {name}; there are {', '.join(names())}"
        ) from None
    return importlib.import_module(f"{__name__}.{module}")


@cache
def _modules() -> Mapping[str, str]:
    return {
        module.name.replace("_", "-"): module.name
        for module in pkgutil.iter_modules(__path__)
        if not module.name.startswith("_")
    }
