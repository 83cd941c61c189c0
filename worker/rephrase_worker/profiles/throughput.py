"""Tokens per second of a model without a profile: those of the known model that is nearest in size."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rephrase_worker.profiles.gpus import ASSUMED, Gpu
from rephrase_worker.profiles.library import ModelProfile
from rephrase_worker.profiles.library import profiles as library
from rephrase_worker.profiles.names import of_model, plain

MEAN_TOKENS_PER_SECOND = 4_677
"""Mean of all runs of the Synthetic Data Playbook (Hugging Face, 2026), per H100."""

MEAN_OUTPUT_TOKENS = 360
"""Mean tokens of an output of FinePhrase (the same): what is expected before a job has outputs of its own."""

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")


@dataclass(frozen=True)
class Assumed:
    """What is expected of a model that is not known."""

    tokens_per_second_per_gpu: int
    gpu: Gpu
    why: str


def assume_throughput(model: str, known: Mapping[str, ModelProfile]) -> Assumed:
    """The baseline figure of the known model that is nearest in size to this one, going by its name."""
    size = _billions(plain(model).rpartition("/")[2])
    if size is None:
        why = "The model's name says no size: the mean of all models is expected."
        return Assumed(MEAN_TOKENS_PER_SECOND, ASSUMED, why)
    nearest = min(
        known.values(), key=lambda profile: (abs(math.log(profile.parameters.total / size)), profile.name)
    )
    on, gpu = nearest.on(ASSUMED)
    why = f"The nearest known model in size is {nearest.models[0]}: its baseline figure is expected."
    return Assumed(on.baseline.tokens_per_second_per_gpu, gpu, why)


def tokens_per_second(model: str) -> int:
    """Output tokens per second of a model in production settings on an H100: where nothing else is known."""
    known = library()
    profile, _ = of_model(model, known)
    if profile is None:
        assumed = assume_throughput(model, known)
        return scale(assumed.tokens_per_second_per_gpu, assumed.gpu, ASSUMED)[0]
    on, gpu = profile.on(ASSUMED)
    return scale(on.production.tokens_per_second_per_gpu, gpu, ASSUMED)[0]


def scale(figure: int, measured_on: Gpu, gpu: Gpu) -> tuple[int, str | None]:
    """A figure of one GPU for another one, and a sentence that says so; none if it is the same GPU."""
    if gpu.name == measured_on.name:
        return figure, None
    ratio = gpu.gb_per_second / measured_on.gb_per_second
    return max(1, round(figure * ratio)), (
        f"Scaled from {measured_on.name} to {gpu.name} by memory bandwidth "
        f"({gpu.gb_per_second:,} / {measured_on.gb_per_second:,} GB/s = {ratio:.2f})."
    )


def _billions(name: str) -> float | None:
    match = _SIZE.search(name)
    if match is None or float(match[1]) == 0:
        return None
    return float(match[1]) / (1000 if match[2] == "m" else 1)
