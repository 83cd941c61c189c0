"""Reads the profiles: one YAML file for each model, in the folder `profiles` of the repository."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from rephrase_worker.profiles.gpus import ASSUMED, GPUS, Gpu
from rephrase_worker.spec import EngineSettings, Speculation, Text

VariantName = Literal["baseline", "fastest", "production"]
"""`baseline`: nothing tuned. `fastest`: the best of a sweep. `production`: the fastest without what runs out
of memory on long documents, within `PRODUCTION_LIMITS`.
"""

PRODUCTION_LIMITS = {"max_num_seqs": 2048, "max_num_batched_tokens": 16384, "gpu_memory_utilization": 0.90}
"""Most that a production setting may have: what FinePhrase ran with after its faster settings ran out of
memory (Hugging Face, 2026).
"""


class _Strict(BaseModel):
    """Base of what is in a file: camelCase, unknown fields are errors."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Figure(_Strict):
    """An expected throughput, and how it is known."""

    tokens_per_second_per_gpu: Annotated[int, Field(ge=1)]
    """Output tokens per second of a worker, divided by its GPUs; start-up is left out."""
    figure: Literal["measured", "assumed"]
    why: Annotated[str, Field(min_length=1)]
    """Where settings and figure come from."""


class WithoutSuffix(Figure):
    """What to use where the worker has no suffix speculation."""

    speculation: Speculation


class Variant(Figure):
    """Settings and what they give."""

    settings: EngineSettings
    without_suffix: WithoutSuffix | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.settings.model_fields_set:
            if EngineSettings.model_fields[name].default is not None:
                raise ValueError(f"settings.{to_camel(name)}: unset has a meaning of its own for this field")
        speculation = self.settings.speculation
        suffix = speculation is not None and speculation.method == "suffix"
        if suffix != (self.without_suffix is not None):
            raise ValueError("withoutSuffix belongs to settings with suffix speculation, and only to those")
        return self


class OnGpu(_Strict):
    """A model's variants on one kind of GPU."""

    source: Annotated[str, Field(min_length=1)]
    """Where the measured figures come from, and how they were measured."""
    baseline: Variant
    fastest: Variant
    production: Variant

    def variant(self, name: VariantName) -> Variant:
        """One of the three."""
        found: Variant = getattr(self, name)
        return found


class Parameters(_Strict):
    """Parameters in billions."""

    total: Annotated[float, Field(gt=0)]
    active: Annotated[float, Field(gt=0)]
    """Those that a token uses: fewer in a mixture of experts."""


class Weights(_Strict):
    """The model's weights in GPU memory."""

    type: Literal["bfloat16", "mxfp4"]
    gib: Annotated[float, Field(gt=0)]


class ModelProfile(_Strict):
    """What is known of a model."""

    name: Text
    """The file's name without its suffix."""
    models: Annotated[list[Text], Field(min_length=1)]
    """Ids of the Hub: OWNER/NAME."""
    parameters: Parameters
    weights: Weights
    context: Annotated[int, Field(ge=64)]
    """The longest context that the model was made for, in tokens."""
    gpus: Annotated[dict[str, OnGpu], Field(min_length=1)]
    """By name of the GPU."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = sorted(set(self.gpus) - set(GPUS))
        if unknown:
            raise ValueError(f"gpus: {', '.join(unknown)} not among {', '.join(GPUS)}")
        return self

    def on(self, gpu: Gpu | None) -> tuple[OnGpu, Gpu]:
        """What was measured on this GPU, or else on the one whose bandwidth is nearest to it."""
        wanted = ASSUMED if gpu is None else gpu
        name = min(
            self.gpus,
            key=lambda one: (
                one != wanted.name,
                abs(math.log(GPUS[one].gb_per_second / wanted.gb_per_second)),
            ),
        )
        return self.gpus[name], GPUS[name]


def parse(file_name: str, text: str) -> ModelProfile:
    """Read one file. Raises ValueError with the file's name, the field and what is wrong."""
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{file_name} is not YAML: {error}") from error
    if not isinstance(fields, dict) or "name" in fields:
        raise ValueError(f"{file_name}: expected fields such as models and gpus; the file's name is the name")
    try:
        return ModelProfile.model_validate({"name": file_name.removesuffix(".yaml"), **fields})
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise ValueError(f"{file_name}: {'; '.join(faults)}") from error


@cache
def profiles() -> Mapping[str, ModelProfile]:
    """Every profile by name."""
    folder = resources.files("rephrase_worker.profiles") / "files"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda one: one.name
    )
    found = (parse(file.name, file.read_text("utf-8")) for file in files)
    return {profile.name: profile for profile in found}
