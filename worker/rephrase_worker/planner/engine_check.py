"""Finds settings of the engine that are at odds with the model while planning, before a GPU is paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rephrase_worker.rendering.check import context_of
from rephrase_worker.spec import EngineSettings, Reason, WorkerError

ALLOW_LONG = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
"""Environment variable with which vLLM takes a context that is longer than the model's own."""


def check_engine(
    engine: EngineSettings, model: str, config: dict[str, Any], environment: Mapping[str, str]
) -> None:
    """Refuse settings that vLLM would refuse for this model, by its configuration (`config.json`).

    Raises WorkerError(INVALID_RECIPE) with the names of the fields.
    """
    faults = list(_faults(engine, model, config, environment))
    if faults:
        raise WorkerError(Reason.INVALID_RECIPE, " ".join(faults))


def _faults(
    engine: EngineSettings, model: str, config: dict[str, Any], environment: Mapping[str, str]
) -> Iterator[str]:
    asked, context = engine.max_model_len, context_of(config)
    long_allowed = environment.get(ALLOW_LONG, "0").strip().lower() in ("1", "true")
    if asked is not None and context is not None and asked > context and not long_allowed:
        yield (
            f"engine.maxModelLen: {asked} tokens are more than the {context} that {model} was made for "
            "(its config.json). Set engine.maxModelLen to that or less, or choose another model."
        )
    heads, tensor = _heads(config), engine.tensor_parallel_size or 1
    if heads is not None and heads % tensor:
        fitting = ", ".join(str(size) for size in (1, 2, 4, 8, 16) if heads % size == 0)
        yield (
            f"engine.tensorParallelSize: {tensor} GPUs can't share the {heads} attention heads of {model} "
            f"evenly. It could be {fitting}."
        )
    length, tokens = asked or context, engine.max_num_batched_tokens
    if (
        engine.enable_chunked_prefill is False
        and length is not None
        and tokens is not None
        and tokens < length
    ):
        yield (
            f"engine.maxNumBatchedTokens: {tokens} tokens are fewer than those of the longest prompt "
            f"({length}), which can't be split while engine.enableChunkedPrefill is false. Raise it, or set "
            "engine.maxModelLen to it."
        )


def _heads(config: dict[str, Any]) -> int | None:
    """Attention heads of the language model; None if the configuration does not say."""
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    found = next((text[key] for key in ("num_attention_heads", "n_head") if key in text), None)
    return found if isinstance(found, int) and found > 0 else None
