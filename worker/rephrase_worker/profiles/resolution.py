"""From what a job asks for to what its workers get: `spec.engine`, filled in from the model's profile.

A field that the user has set always wins. The profile fills in the others, unless that would contradict a
field that is set, or the sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rephrase_worker.profiles import memory, names
from rephrase_worker.profiles.fill import Filled, Suffix, fill, is_set, sources
from rephrase_worker.profiles.gpus import Gpu, GpuChoice
from rephrase_worker.profiles.library import ModelProfile, Variant
from rephrase_worker.profiles.library import profiles as library
from rephrase_worker.profiles.memory import Memory
from rephrase_worker.profiles.names import Choice
from rephrase_worker.profiles.throughput import assume_throughput, scale
from rephrase_worker.spec import EngineSettings, Sampling

BASELINE_SETTINGS = EngineSettings(max_num_seqs=256, max_num_batched_tokens=8192, gpu_memory_utilization=0.90)
"""For a model without a profile. Its context is left to the model: a guess could exceed it."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What the workers of a job get, and what is expected of them."""

    settings: EngineSettings
    """`spec.engine` with the profile's values where it sets none. A worker needs to know no profiles."""
    profile: str
    """NAME/VARIANT, `baseline` for a model without a profile, or `none`."""
    known_model: bool = True
    """False if the model has no profile, and much is assumed."""
    gpu: str
    """Name of the GPU, or CPU."""
    tokens_per_second_per_gpu: int | None = None
    """Expected output tokens per second and GPU, start-up left out; None where nothing can be expected."""
    figure: str = "none"
    """How that is known: `measured`, `assumed` or `scaled`; `none` without one."""
    scaled: str | None = None
    """A sentence, if the figure is from another kind of GPU."""
    memory: Memory | None = None
    """Of each GPU; None where model or GPU are not known."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where the value of each field that is set comes from: `spec.engine` or `profile`."""
    suffix: Suffix = Suffix.NOT_ASKED
    shortfall: str = ""
    """A sentence on what keeps the workers from the profile's speed; empty if nothing does."""
    why: str
    """Everything in sentences."""


def resolve(
    *,
    model: str,
    engine: EngineSettings,
    gpu: GpuChoice,
    sampling: Sampling | None = None,
    profile: str = names.AUTO,
    suffix: bool | None = None,
    weights_gib: float | None = None,
    known: Mapping[str, ModelProfile] | None = None,
) -> Resolved:
    """Resolve the settings of a job. Pure.

    `engine` holds what the user has set. `suffix` says whether the worker's image has suffix speculation;
    None: not known yet. `weights_gib`: the size of the model's weights in their own type, where that is known
    better than from the profile. `known`: the profiles, if not those of the library.

    Raises UnknownProfileError and DoesNotFitError; their messages say what to do.
    """
    known = library() if known is None else known
    choice = names.choose(profile, model, known)
    if engine.backend == "simulated":
        return _none(engine, gpu, "No profile applies: the simulated engine has no model.")
    if gpu.on_cpu:
        return _none(engine, gpu, "No profile applies: the workers run on CPUs, and profiles are for GPUs.")
    if choice is None:
        return _none(engine, gpu, "engine.profile is none: vLLM chooses what spec.engine does not set.")
    start = _start(choice, model, gpu, known)
    filled = fill(
        start.chosen,
        engine,
        sampling or Sampling(),
        baseline=start.baseline,
        context=choice.profile.context if choice.profile else None,
        shrink=gpu.gpu.memory_gib / start.measured_on.memory_gib if gpu.gpu else 1.0,
        suffix=suffix,
    )
    weights = weights_gib or (choice.profile.weights.gib if choice.profile else None)
    tokens, figure, scaled = None, "none", None
    if gpu.gpu is not None:
        tokens, scaled = scale(filled.figure.tokens_per_second_per_gpu, start.measured_on, gpu.gpu)
        figure = "scaled" if scaled else filled.figure.figure if filled.as_measured else "assumed"
    return Resolved(
        settings=filled.settings,
        profile=start.name,
        known_model=choice.profile is not None,
        gpu=gpu.name,
        tokens_per_second_per_gpu=tokens,
        figure=figure,
        scaled=scaled,
        memory=memory.check(model, weights, gpu.gpu, filled.settings) if weights and gpu.gpu else None,
        sources=dict(sources(filled, engine)),
        suffix=filled.suffix,
        shortfall=_shortfall(start, filled, gpu.gpu) if filled.suffix is Suffix.MISSING else "",
        why=_text(start.why, choice.why, gpu.why, filled.figure.why, scaled, *filled.notes),
    )


@dataclass(frozen=True)
class _Start:
    """What is filled in, before anything of the job is looked at."""

    name: str
    chosen: Variant
    baseline: Variant
    measured_on: Gpu
    why: str


def _start(choice: Choice, model: str, gpu: GpuChoice, known: Mapping[str, ModelProfile]) -> _Start:
    if choice.profile is None:
        assumed = assume_throughput(model, known)
        generic = Variant(
            tokens_per_second_per_gpu=assumed.tokens_per_second_per_gpu,
            figure="assumed",
            why=assumed.why,
            settings=BASELINE_SETTINGS,
        )
        return _Start(names.BASELINE, generic, generic, assumed.gpu, "Baseline settings.")
    on, measured_on = choice.profile.on(gpu.gpu)
    # Of a GPU that is not known the memory is not known either, and the baseline needs least of it.
    variant = choice.variant if gpu.gpu else "baseline"
    name = f"{choice.profile.name}/{variant}"
    return _Start(name, on.variant(variant), on.baseline, measured_on, f"Profile {name}.")


def _none(engine: EngineSettings, gpu: GpuChoice, why: str) -> Resolved:
    own = {name: "spec.engine" for name in EngineSettings.model_fields if is_set(engine, name)}
    return Resolved(settings=engine, profile=names.NONE, gpu=gpu.name, sources=own, why=why)


def _shortfall(start: _Start, filled: Filled, gpu: Gpu | None) -> str:
    """What is lost without suffix speculation."""
    whole, rest = start.chosen.tokens_per_second_per_gpu, filled.figure.tokens_per_second_per_gpu
    if gpu is not None:
        whole, rest = (scale(figure, start.measured_on, gpu)[0] for figure in (whole, rest))
    return (
        f"The worker's image has no suffix speculation (arctic-inference), so profile {start.name} runs with "
        f"ngram: {rest:,} instead of {whole:,} output tokens/s/GPU are expected. The CUDA image of this "
        "project has it (docs/profiles.md)."
    )


def _text(*sentences: str | None) -> str:
    return " ".join(" ".join(sentence.split()) for sentence in sentences if sentence)
