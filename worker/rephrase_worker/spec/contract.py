"""What all models of the contract have in common: JSON names, strictness, versions, hashes.

Versions: a field that is added after a release is marked `Since(n)`, has a default, and n becomes
CONTRACT_VERSION. A worker of an older version is never written such a field (`to_json(version)`), and its
default changes no hash. Fields are never removed or renamed, and an old field gets no new kinds of values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

RECIPE_FILE = "recipe.json"
ENGINE_FILE = "engine.json"
"""Names of the two files (keys of the ConfigMap) that the worker's commands are given."""

WORKER_PORT = 8080
"""Port of `/metrics`, `/progress` and `/healthz` on every pod that generates."""

Text = Annotated[str, Field(min_length=1, max_length=256)]
Uri = Annotated[str, Field(min_length=1, max_length=1024)]

Path = tuple[str | int, ...]
"""Where a field is: names of fields, positions in lists, keys of maps."""

CONTRACT_VERSION = 2
"""Version of this contract: the highest `Since` of any field. A worker tells the operator with its plan."""


@dataclass(frozen=True)
class Since:
    """Marks a field that did not exist in the first version of the contract."""

    version: int


class Contract(BaseModel):
    """Base of every model that crosses the line between operator and worker."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self, version: int = CONTRACT_VERSION) -> str:
        """The JSON form for a reader of this version: camelCase, unset optional fields left out."""
        later = [
            field.path for field in _later_fields(self) if field.since > version or field.has_its_default
        ]
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude=_tree(later))

    def unknown_to(self, version: int) -> list[str]:
        """The fields, such as `a.b`, that are set and that a reader of this version does not know."""
        return [
            ".".join(str(part) if isinstance(part, int) else to_camel(part) for part in field.path)
            for field in _later_fields(self)
            if field.since > version and not field.has_its_default
        ]

    def canonical(self, *without: Path) -> str:
        """The JSON form for hashes, without these fields.

        It is the same in every version that knows the fields that are set.
        """
        later = [field.path for field in _later_fields(self) if field.has_its_default]
        return self.model_dump_json(by_alias=True, exclude=_tree([*later, *without]))


@dataclass(frozen=True)
class _LaterField:
    """A field that did not exist in the first version, of one object."""

    path: Path
    since: int
    has_its_default: bool


def _later_fields(value: object, path: Path = ()) -> Iterator[_LaterField]:
    """Every such field of an object and of all that is in it."""
    if isinstance(value, Contract):
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            since = max((mark.version for mark in field.metadata if isinstance(mark, Since)), default=1)
            if since > 1:
                default = field.get_default(call_default_factory=True, validated_data={})
                yield _LaterField((*path, name), since, inner == default)
            yield from _later_fields(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _later_fields(inner, (*path, position))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _later_fields(inner, (*path, key))


def _tree(paths: list[Path]) -> dict[Any, Any]:
    """Paths as pydantic wants to be told what to exclude."""
    tree: dict[Any, Any] = {}
    for path in sorted(paths, key=len):
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if node is True:
                break  # The whole of it is excluded.
        else:
            node[path[-1]] = True
    return tree
