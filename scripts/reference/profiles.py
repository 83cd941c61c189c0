"""The page of the engine profiles: what each says, and the GPUs that figures are scaled to."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic.alias_generators import to_camel

from rephrase_worker.profiles import GPUS, ModelProfile, profiles
from rephrase_worker.profiles.library import OnGpu, Variant
from rephrase_worker.spec import EngineSettings, Speculation
from scripts.reference.markdown import GENERATED, code, table

INTRODUCTION = """\
# Profiles reference

Every file of `profiles/`, and the GPUs that are known. [Engine profiles](../profiles.md) says how they are
used. Figures are output tokens per second and GPU; those that were not measured are marked with *.
"""

SETTINGS = """\
## Settings

`baseline` in full; of `fastest` and `production` what differs from it.
"""

GPU = """\
## GPUs

A figure is scaled to another GPU by the ratio of the bandwidths.
"""


def page() -> str:
    """The page's text."""
    known = list(profiles().values())
    return "\n".join(
        [
            GENERATED,
            INTRODUCTION,
            table(
                ["Profile", "Model", "Billions of parameters", "Weights", "Context", "GPU", *_VARIANTS],
                (row for profile in known for row in _figures(profile)),
            ),
            SETTINGS,
            table(
                ["Profile", "GPU", *_VARIANTS],
                (row for profile in known for row in _settings(profile)),
            ),
            GPU,
            table(
                ["GPU", "Memory", "Bandwidth", "Also known as"],
                (
                    [
                        code(gpu.name),
                        f"{gpu.memory_gib:g} GiB",
                        f"{gpu.gb_per_second:,} GB/s",
                        ", ".join(map(code, gpu.aliases)),
                    ]
                    for gpu in GPUS.values()
                ),
            ),
        ]
    )


_VARIANTS = ("baseline", "fastest", "production")


def _figures(profile: ModelProfile) -> Iterator[list[str]]:
    size = f"{profile.parameters.total:g}"
    if profile.parameters.active < profile.parameters.total:
        size += f" ({profile.parameters.active:g} active)"
    for gpu, on in profile.gpus.items():
        yield [
            code(profile.name),
            ", ".join(profile.models),
            size,
            f"{profile.weights.gib:g} GiB ({profile.weights.type})",
            f"{profile.context:,}",
            gpu,
            *(_figure(on.variant(name)) for name in ("baseline", "fastest", "production")),
        ]


def _figure(variant: Variant) -> str:
    text = f"{variant.tokens_per_second_per_gpu:,}" + ("" if variant.figure == "measured" else "*")
    if variant.without_suffix is None:
        return text
    return f"{text} ({variant.without_suffix.tokens_per_second_per_gpu:,}* without suffix speculation)"


def _settings(profile: ModelProfile) -> Iterator[list[str]]:
    for gpu, on in profile.gpus.items():
        yield [code(profile.name), gpu, *_cells(on)]


def _cells(on: OnGpu) -> Iterator[str]:
    base = on.baseline.settings
    yield _listed(base, EngineSettings())
    for variant in (on.fastest, on.production):
        yield _listed(variant.settings, base) or "as baseline"


def _listed(settings: EngineSettings, other: EngineSettings) -> str:
    """What is set and not the same in the other settings."""
    return ", ".join(
        code(f"{to_camel(name)}: {_value(value)}")
        for name in EngineSettings.model_fields
        if (value := getattr(settings, name)) is not None and value != getattr(other, name)
    )


def _value(value: object) -> str:
    if isinstance(value, Speculation):
        return f"{value.method}-{value.num_speculative_tokens}"
    return str(value).lower() if isinstance(value, bool) else str(value)
