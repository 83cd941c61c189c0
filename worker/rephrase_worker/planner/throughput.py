"""How many documents a GPU rephrases in an hour, to within a factor of two. Sharding needs no more."""

from __future__ import annotations

from rephrase_worker.profiles import MEAN_OUTPUT_TOKENS, tokens_per_second
from rephrase_worker.spec import Recipe


def documents_per_gpu_hour(recipe: Recipe) -> int:
    """Documents, all prompts and rollouts included, that one GPU finishes in about an hour. At least 1."""
    longest = recipe.sampling.max_tokens
    tokens = sum(min(longest, prompt.expected_tokens or MEAN_OUTPUT_TOKENS) for prompt in recipe.prompts)
    pace = recipe.tokens_per_second_per_gpu or tokens_per_second(recipe.model.name)
    return max(1, pace * 3600 // (tokens * recipe.sampling.rollouts))
