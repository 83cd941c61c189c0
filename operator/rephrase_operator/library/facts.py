"""The front matter of prompt files: what a prompt is for, and what to expect of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from rephrase_worker.spec import ExpectedTokens, Share, StructureName, SystemMessage

FENCE = "---"
"""The line above and below the front matter."""

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S.*\S$")]
"""Text in one line, for tables."""


class _Strict(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )


class SuggestedSampling(_Strict):
    """How to sample with this prompt. A suggestion: a job's `spec.sampling` holds for all its prompts."""

    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    max_tokens: int | None = Field(default=None, ge=1, le=131_072)


class Facts(_Strict):
    """What the front matter of a user's own prompt may say."""

    title: Line | None = None
    intent: Line | None = None
    """What the outputs are for, in a sentence."""
    origin: Line | None = None
    """The published recipe that the format comes from."""
    structure: StructureName | None = None
    """The structure checker that tells whether an output has the form that is asked for."""
    expected_tokens: ExpectedTokens | None = None
    """Mean length of an output in tokens."""
    mix_share: Share | None = None
    """Best share of the outputs, in tokens, in a mix with original data; None where nobody has measured it.
    """
    sampling: SuggestedSampling = SuggestedSampling()
    version: int | None = Field(default=None, ge=1)
    """Counts the wordings."""
    system: SystemMessage | None = None
    """The system message of the conversation."""

    @model_validator(mode="after")
    def _whole_outputs(self) -> Facts:
        expected, most = self.expected_tokens, self.sampling.max_tokens
        if expected is not None and most is not None and expected > most:
            raise ValueError(f"expectedTokens ({expected}) is above sampling.maxTokens ({most})")
        return self


class LibrarySampling(SuggestedSampling):
    """The suggestion of a prompt of the library."""

    temperature: float = Field(ge=0.0, le=2.0)
    max_tokens: int = Field(ge=1, le=131_072)


class LibraryFacts(Facts):
    """What the front matter of a prompt of the library says: everything but a system message."""

    title: Line
    intent: Line
    origin: Line
    structure: StructureName
    expected_tokens: ExpectedTokens
    sampling: LibrarySampling
    version: int = Field(ge=1)


Kind = TypeVar("Kind", bound=Facts)


def read_facts(kind: type[Kind], head: str) -> Kind:
    """Read front matter. Raises ValueError that names every field that is wrong.

    The message quotes no values: the text may be of a ConfigMap that was never meant to be a prompt.
    """
    try:
        fields = yaml.load(head, _Loader)  # noqa: S506, it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"line {line} of the front matter is no YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"the front matter is no YAML: {type(error).__name__}") from None
    if not isinstance(fields, dict):
        raise ValueError("the front matter holds no fields, such as `title: ...`")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        known = ", ".join(to_camel(name) for name in kind.model_fields)
        lines = head.split("\n")
        raise ValueError(
            "; ".join(_problem(dict(found), known) + _where(lines, found["loc"]) for found in error.errors())
        ) from None


def _problem(found: dict[str, Any], known: str) -> str:
    field = ".".join(str(part) for part in found["loc"])
    match found["type"]:
        case "missing":
            return f"{field} is missing"
        case "extra_forbidden":
            return f"{field} is no field (known are {known})"
        case "value_error":
            return str(found["ctx"]["error"])
        case "string_pattern_mismatch" if found["loc"][-1] != "structure":
            return f"{field} has to be one line"
        case _:
            return f"{field}: {found['msg']}"


def _where(lines: list[str], found: tuple[int | str, ...]) -> str:
    """The line of a field, if it has one."""
    start = f"{found[0]}:" if found else "\0"
    number = next((number for number, line in enumerate(lines, 1) if line.startswith(start)), None)
    return "" if number is None else f" (line {number} of the front matter)"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice. YAML forbids it, and PyYAML would take the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(
                    problem="a key stands there twice", problem_mark=node.value[position][0].start_mark
                )
        return super().construct_mapping(node, deep=deep)
