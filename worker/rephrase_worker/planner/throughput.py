"""How many documents a GPU rephrases in an hour, to within a factor of two. Sharding needs no more.

The figures are output tokens per second and H100 without any tuning, from the Synthetic Data Playbook
(Hugging Face, 2026): prompt "tutorial" on FineWeb-Edu with vLLM.
"""

from __future__ import annotations

import math
import re

from rephrase_worker.spec import Recipe

_TOKENS_PER_SECOND: dict[str, int] = {
    "smollm2-135m-instruct": 28_391,
    "smollm2-360m-instruct": 17_887,
    "smollm2-1.7b-instruct": 5_255,
    "gemma-3-270m-it": 22_996,
    "gemma-3-1b-it": 14_838,
    "gemma-3-4b-it": 8_501,
    "gemma-3-12b-it": 2_999,
    "gemma-3-27b-it": 1_724,
    "qwen3-0.6b": 13_527,
    "qwen3-1.7b": 11_710,
    "qwen3-4b": 7_919,
    "qwen3-8b": 6_338,
    "qwen3-14b": 4_414,
    "qwen3-32b": 1_987,
    "qwen3-30b-a3b-thinking-2507": 2_977,
    "qwen3-next-80b-a3b-thinking": 2_034,
    "gpt-oss-20b": 12_432,
    "gpt-oss-120b": 3_138,
}
_MEAN_TOKENS_PER_SECOND = 4_677
_MEAN_OUTPUT_TOKENS = 360
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")


def tokens_per_second(model: str) -> int:
    """Output tokens per second and GPU of a model; for unknown names that of the nearest known size."""
    name = model.rstrip("/").rpartition("/")[2].lower()
    known = _TOKENS_PER_SECOND.get(name)
    if known is not None:
        return known
    size = _billions(name)
    if size is None:
        return _MEAN_TOKENS_PER_SECOND
    sizes = {other: _billions(other) for other in _TOKENS_PER_SECOND}
    nearest = min(
        (abs(math.log(other_size / size)), other)
        for other, other_size in sizes.items()
        if other_size is not None
    )
    return _TOKENS_PER_SECOND[nearest[1]]


def documents_per_gpu_hour(recipe: Recipe) -> int:
    """Documents, all prompts and rollouts included, that one GPU finishes in about an hour. At least 1."""
    tokens = min(recipe.sampling.max_tokens, _MEAN_OUTPUT_TOKENS) * recipe.samples_per_document
    return max(1, tokens_per_second(recipe.model.name) * 3600 // tokens)


def _billions(name: str) -> float | None:
    match = _SIZE.search(name)
    if match is None or float(match[1]) == 0:
        return None
    return float(match[1]) / (1000 if match[2] == "m" else 1)
