"""Engine profiles: the settings that are known to be good for a model on a GPU, and how fast they are.

`files` holds a YAML file for each model, `library` reads them, `gpus` knows the GPUs, and `resolution` turns
what a job asks for into the settings that its workers get. Pure and cheap: operator, planner and commands
import it.
"""

from rephrase_worker.profiles.fill import Suffix
from rephrase_worker.profiles.gpus import GPUS, PRODUCT_LABEL, Gpu, GpuChoice, UnknownGpuError, choose_gpu
from rephrase_worker.profiles.library import ModelProfile, profiles
from rephrase_worker.profiles.memory import DoesNotFitError, Memory
from rephrase_worker.profiles.names import AUTO, NONE, PROFILE_PATTERN, UnknownProfileError
from rephrase_worker.profiles.resolution import Resolved, resolve
from rephrase_worker.profiles.throughput import MEAN_OUTPUT_TOKENS, tokens_per_second

__all__ = [
    "AUTO",
    "GPUS",
    "MEAN_OUTPUT_TOKENS",
    "NONE",
    "PRODUCT_LABEL",
    "PROFILE_PATTERN",
    "DoesNotFitError",
    "Gpu",
    "GpuChoice",
    "Memory",
    "ModelProfile",
    "Resolved",
    "Suffix",
    "UnknownGpuError",
    "UnknownProfileError",
    "choose_gpu",
    "profiles",
    "resolve",
    "tokens_per_second",
]
