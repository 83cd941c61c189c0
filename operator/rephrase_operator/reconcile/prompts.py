"""From what a job says of its prompts to what workers get: templates, system messages, structures.

A prompt's text is its own template, a key of a ConfigMap, or one that every job can name: the library's or
the installer's. It is looked up when the job starts and frozen in the recipe; nothing reads it again while
the recipe is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rephrase_operator.api import conditions
from rephrase_operator.api.conditions import ConditionReason
from rephrase_operator.api.prompts import ConfigMapKey, PromptChoice
from rephrase_operator.library import BrokenPrompt, Facts, Library, read_prompt_file
from rephrase_operator.observed.views import PromptMap
from rephrase_worker.quality import structure
from rephrase_worker.spec import Prompt

LOOK_AGAIN_SECONDS = 10.0
"""How often a job looks for a ConfigMap that it waits for. Watching would need the right to list them all."""

TOGETHER_LIMIT = 900_000
"""Most bytes of a job's prompts as JSON. A ConfigMap of at most 1 MiB holds them with the rest."""


@dataclass(frozen=True)
class PromptProblem:
    """Why the prompts of a job can't be used."""

    reason: ConditionReason
    message: str
    may_pass: bool
    """True if a ConfigMap is at fault: it can change without a change of the job."""


class _ProblemError(Exception):
    def __init__(self, reason: ConditionReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def resolve(
    choices: Sequence[PromptChoice], library: Library, found: Mapping[str, PromptMap]
) -> list[Prompt] | PromptProblem:
    """The prompts of a job, or what is wrong with them. `found` holds the ConfigMaps that exist, by name."""
    unknown = [choice.name for choice in choices if not _is_own(choice) and choice.name not in library]
    if unknown:
        usable = sorted(name for name, prompt in library.items() if not isinstance(prompt, BrokenPrompt))
        message = conditions.unknown_prompt(unknown, usable)
        return PromptProblem(ConditionReason.UNKNOWN_PROMPT, message, may_pass=False)
    prompts: list[Prompt] = []
    problems: list[_ProblemError] = []
    for choice in choices:
        try:
            prompts.append(_prompt(choice, library, found))
        except _ProblemError as problem:
            problems.append(problem)
    if problems:
        return PromptProblem(problems[0].reason, " ".join(map(str, problems)), may_pass=True)
    size = sum(len(prompt.to_json().encode()) for prompt in prompts)
    if size > TOGETHER_LIMIT:
        message = conditions.prompts_too_large(size, TOGETHER_LIMIT)
        may_pass = bool(config_maps_of(choices))
        return PromptProblem(ConditionReason.INVALID_PROMPT, message, may_pass)
    return prompts


def config_maps_of(choices: Sequence[PromptChoice]) -> dict[str, frozenset[str]]:
    """The keys of ConfigMaps that these prompts come from, by the ConfigMap's name."""
    refs = [choice.config_map_key_ref for choice in choices if choice.config_map_key_ref is not None]
    return {
        name: frozenset(ref.key for ref in refs if ref.name == name) for name in {ref.name for ref in refs}
    }


def _is_own(choice: PromptChoice) -> bool:
    return choice.template is not None or choice.config_map_key_ref is not None


def _prompt(choice: PromptChoice, library: Library, found: Mapping[str, PromptMap]) -> Prompt:
    """One prompt. What the job says wins over what the prompt's file says. Raises _ProblemError."""
    if choice.template is not None:
        facts, template = Facts(), choice.template
    elif choice.config_map_key_ref is not None:
        facts, template = _read(choice, choice.config_map_key_ref, found)
    else:
        facts, template = _of_library(choice, library)
    wanted, known = choice.structure or facts.structure, structure.names()
    if wanted is not None and wanted not in known:
        message = conditions.unknown_structure(choice.name, wanted, known)
        raise _ProblemError(ConditionReason.INVALID_PROMPT, message)
    if choice.unstructured == "Drop" and wanted is None:
        raise _ProblemError(ConditionReason.INVALID_PROMPT, conditions.nothing_to_drop(choice.name))
    return Prompt(
        name=choice.name,
        template=template,
        system=choice.system or facts.system,
        structure=wanted,
        unstructured=choice.unstructured,
        expected_tokens=choice.expected_tokens or facts.expected_tokens,
        mix_share=facts.mix_share,
    )


def _of_library(choice: PromptChoice, library: Library) -> tuple[Facts, str]:
    """Facts and template in the library. Raises _ProblemError."""
    found = library[choice.name]
    try:
        if isinstance(found, BrokenPrompt):
            raise ValueError(found.why)
        return found.facts, found.template(choice.layout)
    except ValueError as error:
        message = conditions.invalid_house_prompt(choice.name, str(error))
        raise _ProblemError(ConditionReason.INVALID_PROMPT, message) from error


def _read(choice: PromptChoice, ref: ConfigMapKey, found: Mapping[str, PromptMap]) -> tuple[Facts, str]:
    """Facts and template in a ConfigMap. Raises _ProblemError."""
    held = found.get(ref.name)
    if held is None:
        raise _ProblemError(
            ConditionReason.CONFIG_MAP_NOT_FOUND, conditions.no_config_map(choice.name, ref.name, ref.key)
        )
    if ref.key not in held.keys:
        raise _ProblemError(
            ConditionReason.CONFIG_MAP_KEY_NOT_FOUND,
            conditions.no_config_map_key(choice.name, ref.name, ref.key, held.keys),
        )
    try:
        if ref.key not in held.texts:
            raise ValueError("it is binary data, and a prompt is UTF-8 text")
        file = read_prompt_file(held.texts[ref.key])
        return file.facts, file.template(choice.layout)
    except ValueError as error:
        message = conditions.invalid_prompt(choice.name, ref.name, ref.key, str(error))
        raise _ProblemError(ConditionReason.INVALID_PROMPT, message) from error
