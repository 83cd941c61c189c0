"""Whether a model's weights fit into the memory of the GPUs that a worker gets."""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_worker.profiles.gpus import Gpu
from rephrase_worker.spec import EngineSettings

RESERVE_GIB = 2.0
"""Memory that vLLM needs beside weights and KV cache, for activations and CUDA graphs, at least."""

DEFAULT_UTILIZATION = 0.9
"""What is taken for `gpuMemoryUtilization` where it is unset; vLLM's own default is about that."""

_GIB = 2**30
_LARGEST = 8
"""GPUs of the largest usual node."""


class DoesNotFitError(ValueError):
    """The model's weights need more memory than the worker's GPUs have."""


@dataclass(frozen=True)
class Memory:
    """How a worker's GPU memory is used, per GPU and in GiB."""

    total: float
    weights: float
    kv_cache: float
    """What is left for the KV cache; not positive when the model does not fit."""


def estimate(weights_gib: float, gpu: Gpu, engine: EngineSettings, gpus: int | None = None) -> Memory:
    """The memory of each GPU, with the worker's number of GPUs or another one."""
    weights = weights_gib * _factor(engine) / (gpus or engine.gpus)
    if engine.kv_cache_memory_bytes is not None:
        cache = engine.kv_cache_memory_bytes / _GIB
        left = gpu.memory_gib - weights - RESERVE_GIB
        return Memory(gpu.memory_gib, weights, cache if cache <= left else left - cache)
    usable = gpu.memory_gib * (engine.gpu_memory_utilization or DEFAULT_UTILIZATION)
    return Memory(gpu.memory_gib, weights, usable - weights - RESERVE_GIB)


def check(model: str, weights_gib: float, gpu: Gpu, engine: EngineSettings) -> Memory:
    """The memory of each GPU. Raises DoesNotFitError with the tensor parallelism that would do.

    `weights_gib` is the size of the model's weights in their own type.
    """
    found = estimate(weights_gib, gpu, engine)
    if found.kv_cache > 0:
        return found
    pipeline = engine.pipeline_parallel_size
    sizes = [size for size in (1, 2, 4, 8) if size * pipeline <= _LARGEST]
    enough = next(
        (size for size in sizes if estimate(weights_gib, gpu, engine, size * pipeline).kv_cache > 0), None
    )
    asked = engine.tensor_parallel_size or 1
    message = (
        f"The weights of {model} take {found.weights:.1f} GiB on each GPU with "
        f"engine.tensorParallelSize {asked}, and a {gpu.name} has {gpu.memory_gib:g} GiB, from which vLLM "
        f"takes a share and needs {RESERVE_GIB:g} GiB for other things. "
    )
    if enough is None:
        raise DoesNotFitError(
            f"{message}Not even {_LARGEST} of them are enough: choose a larger GPU (worker.gpu, "
            "worker.nodeSelector) or a smaller model."
        )
    raise DoesNotFitError(
        f"{message}Set engine.tensorParallelSize to {enough}, which asks for {enough * pipeline} GPUs a "
        "worker, or choose a larger GPU (worker.gpu, worker.nodeSelector)."
    )


def _factor(engine: EngineSettings) -> float:
    """Size of the weights as they are loaded, against their own. Embeddings are not quantized."""
    match engine.quantization, engine.dtype:
        case "fp8", _:
            return 0.6
        case "bitsandbytes", _:
            return 0.4
        case _, "float32":
            return 2.0
    return 1.0
