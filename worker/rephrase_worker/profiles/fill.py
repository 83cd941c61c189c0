"""Fills the settings of a profile's variant in where the user has set none, without contradictions.

vLLM refuses some pairs of settings. Where one of a pair is the user's, the profile's gives way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic.alias_generators import to_camel

from rephrase_worker.profiles.library import Figure, Variant
from rephrase_worker.spec import EngineSettings, Sampling

_BATCH = ("max_num_seqs", "max_num_batched_tokens")

_NOT_SPEED = {"backend", "max_requests_in_flight", "hang_timeout_seconds", "commit_interval_seconds"}
"""Settings that have nothing to do with how fast the engine is."""


class Suffix(StrEnum):
    """What became of the suffix speculation that a profile asks for."""

    NOT_ASKED = "NotAsked"
    """The profile does not ask for it, or something else takes its place."""
    UNKNOWN = "Unknown"
    """Whether the worker has it is not known yet. Until then it is left out, and its speed is expected."""
    USED = "Used"
    MISSING = "Missing"
    """The worker does not have it: ngram takes its place."""


@dataclass
class Filled:
    """The outcome."""

    figure: Figure
    """What is expected of the settings, and whose it is."""
    values: dict[str, Any]
    """What the profile fills in."""
    settings: EngineSettings = field(default_factory=EngineSettings)
    notes: list[str] = field(default_factory=list)
    """Sentences on what was changed."""
    as_measured: bool = True
    """Whether the settings are those of the figure."""
    suffix: Suffix = Suffix.NOT_ASKED

    def change(self, name: str, value: Any, why: str) -> None:
        """Fill in another value than the profile's; None: none at all."""
        self.values[name] = value
        self.as_measured = False
        self.notes.append(f"{to_camel(name)} is {'left out' if value is None else value}: {why}.")


def fill(
    chosen: Variant,
    engine: EngineSettings,
    sampling: Sampling,
    *,
    baseline: Variant,
    context: int | None,
    shrink: float,
    suffix: bool | None,
) -> Filled:
    """The settings of `engine`, with those of the chosen variant where `engine` has none.

    `context` is the longest that the model can do, in tokens; None: not known. `shrink` is the memory of the
    job's GPU divided by that of the profile's. `suffix` says whether workers have suffix speculation; None:
    not known yet.
    """
    filled = Filled(
        chosen, {name: getattr(chosen.settings, name) for name in chosen.settings.model_fields_set}
    )
    if shrink < 1.0:
        _shrink(filled, baseline.settings, shrink)
    _fit_context(filled, sampling, context)
    _avoid_conflicts(filled, engine)
    _speculate(filled, chosen, baseline, engine, sampling, suffix)
    own = {name: getattr(engine, name) for name in EngineSettings.model_fields if is_set(engine, name)}
    fast = [name for name in own if name not in _NOT_SPEED and own[name] != filled.values.get(name)]
    if fast:
        filled.as_measured = False
        named = ", ".join(to_camel(name) for name in fast)
        filled.notes.append(f"From spec.engine, and not as in the profile: {named}.")
    left = {name: value for name, value in filled.values.items() if name not in own and value is not None}
    filled.values = left
    filled.settings = engine.model_copy(update=left)
    return filled


def is_set(engine: EngineSettings, name: str) -> bool:
    """Whether the user has set this field. The API server fills in defaults, so a default is not set."""
    return bool(getattr(engine, name) != EngineSettings.model_fields[name].default)


def _shrink(filled: Filled, baseline: EngineSettings, ratio: float) -> None:
    """Smaller batches for a GPU with less memory, in powers of two and not below the baseline's."""
    for name in _BATCH:
        value, least = filled.values.get(name), getattr(baseline, name)
        if value is None or least is None or value <= least:
            continue
        smaller = max(least, 1 << (int(value * ratio).bit_length() - 1))
        if smaller != value:
            filled.change(name, smaller, f"{value} is for a GPU with more memory")


def _fit_context(filled: Filled, sampling: Sampling, context: int | None) -> None:
    """Long outputs need a longer context than the profile's, as far as the model can do it."""
    length = filled.values.get("max_model_len")
    if length is not None and sampling.max_tokens > length // 2:
        longer = length + sampling.max_tokens
        longer = longer if context is None else min(context, longer)
        if longer > length:
            filled.change("max_model_len", longer, f"outputs may take {sampling.max_tokens} tokens of it")


def _avoid_conflicts(filled: Filled, engine: EngineSettings) -> None:
    values = filled.values
    if engine.kv_cache_memory_bytes is not None and "gpu_memory_utilization" in values:
        filled.change("gpu_memory_utilization", None, "kvCacheMemoryBytes takes its place")
    seqs, tokens = engine.max_num_seqs, engine.max_num_batched_tokens
    if tokens is not None and seqs is None and values.get("max_num_seqs", 0) > tokens:
        filled.change("max_num_seqs", tokens, "it can't be above maxNumBatchedTokens")
    if seqs is not None and tokens is None and values.get("max_num_batched_tokens", seqs) < seqs:
        filled.change("max_num_batched_tokens", seqs, "it can't be below maxNumSeqs")
    if engine.enable_chunked_prefill is False:
        _hold_whole_prompts(filled, engine)


def _hold_whole_prompts(filled: Filled, engine: EngineSettings) -> None:
    """Without chunked prefill one step has to hold the longest prompt."""
    length = engine.max_model_len or filled.values.get("max_model_len")
    tokens = engine.max_num_batched_tokens or filled.values.get("max_num_batched_tokens")
    if length is None or tokens is None or tokens >= length:
        return
    if engine.max_num_batched_tokens is None:
        filled.change("max_num_batched_tokens", length, "a step has to hold a prompt of maxModelLen")
    elif engine.max_model_len is None:
        filled.change("max_model_len", tokens, "a prompt has to fit into maxNumBatchedTokens")


def _speculate(
    filled: Filled,
    chosen: Variant,
    baseline: Variant,
    engine: EngineSettings,
    sampling: Sampling,
    suffix: bool | None,
) -> None:
    if chosen.settings.speculation is None or engine.speculation is not None:
        return
    if sampling.min_p > 0:
        filled.figure = baseline
        filled.change("speculation", None, "vLLM refuses it together with sampling.minP")
        return
    without = chosen.without_suffix
    if without is None:
        return
    if suffix is None:
        filled.suffix = Suffix.UNKNOWN
        filled.values["speculation"] = None
        filled.notes.append("Suffix speculation follows once planning has found it in the worker's image.")
    elif suffix:
        filled.suffix = Suffix.USED
    else:
        filled.suffix = Suffix.MISSING
        filled.figure = without
        filled.values["speculation"] = without.speculation


def sources(filled: Filled, engine: EngineSettings) -> Iterator[tuple[str, str]]:
    """Each field that is set, and where its value is from: `spec.engine` or `profile`."""
    for name in EngineSettings.model_fields:
        if name in filled.values:
            yield name, "profile"
        elif is_set(engine, name):
            yield name, "spec.engine"
