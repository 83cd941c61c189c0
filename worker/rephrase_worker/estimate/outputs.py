"""The outputs of a whole job: what is expected of them per document, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rephrase_worker.estimate.lengths import expected_length
from rephrase_worker.estimate.span import Span
from rephrase_worker.spec import Recipe

SIMULATED_TOKENS = 32
"""Words of the simulated engine's outputs, unless its environment says otherwise."""

_SURE = 0.98
"""From this share of outputs that end at maxTokens on, nothing else is said of their length."""


@dataclass(frozen=True)
class Outputs:
    """What is expected of the outputs of a document: of all its prompts and rollouts together."""

    tokens: Span
    cut: float
    """Share of the outputs that maxTokens cuts off."""
    basis: str


def expected_outputs(
    recipe: Recipe, document_tokens: Sequence[int], documents: int, *, simulated: bool = False
) -> Outputs:
    """The outputs of a job over `documents` documents; `document_tokens` are lengths of a sample of them."""
    sampling = recipe.sampling
    if simulated:
        words = float(min(SIMULATED_TOKENS, sampling.max_tokens) * recipe.samples_per_document)
        return Outputs(Span(words, words, words), 0.0, "The simulated engine writes placeholder text.")
    model = recipe.model.name
    lengths = [
        expected_length(prompt, model, tokens) for prompt in recipe.prompts for tokens in document_tokens
    ]
    per_document = len(recipe.prompts) * sampling.rollouts

    def mean(power: float) -> float:
        """Of a document, if the means are wrong by this power of the factor that they are within."""
        return per_document * fmean(
            length.times(length.factor**power).within(sampling.max_tokens) for length in lengths
        )

    # Outputs vary around their mean, so a job of a few documents is less sure than its mean.
    luck = math.exp(2 * lengths[0].spread / math.sqrt(max(1, documents * per_document)))
    most = float(per_document * sampling.max_tokens)
    expected = mean(0)
    tokens = Span(mean(-1) / luck, expected, min(most, mean(1) * luck))
    cut = fmean(length.cut(sampling.max_tokens) for length in lengths)
    return Outputs(tokens, cut, _basis(recipe, cut))


def _basis(recipe: Recipe, cut: float) -> str:
    most = recipe.sampling.max_tokens
    if cut > _SURE:
        return f"nearly all end at sampling.maxTokens ({most})."
    unknown = [prompt.name for prompt in recipe.prompts if prompt.expected_tokens is None]
    if not unknown:
        known = "the expected length of each prompt"
    elif len(unknown) == len(recipe.prompts):
        known = "a mean of published outputs, because no prompt says an expectedTokens"
    else:
        known = f"the expected length of each prompt ({len(unknown)} of them have none, and get a mean)"
    return (
        f"{known}, by the length of the documents; {cut:.0%} are expected to end at sampling.maxTokens "
        f"({most}). Models differ: prompts' expectedTokens can say better."
    )
