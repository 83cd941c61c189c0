"""How long an output is expected to be: by prompt, model and document.

Lengths of one prompt's outputs are about log-normal: most are of a moderate length, and a few go on and on.
So `maxTokens` cuts the mean by more than the mean itself suggests, and where it is below nearly all lengths,
every output is as long as it allows, whatever the mean is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rephrase_worker.profiles import MEAN_OUTPUT_TOKENS
from rephrase_worker.spec import Prompt

REFERENCE_DOCUMENT = 1000
"""Tokens of a document of FineWeb-Edu, about: what published lengths were measured on."""

GROWTH = 0.25
"""A document of twice the length gives an output of 2^GROWTH times the length."""

SPREAD = 0.8
"""Standard deviation of the logarithm of the lengths of one prompt's outputs for documents of one length."""

_RUNAWAY = {"smollm2-135m": 0.55, "smollm2-360m": 0.3}
"""Models that often don't end. 135M: measured at temperature 1 with eight prompts of the library over 16
documents of 60 to 900 tokens, of whose 128 outputs 57% reached 1,024 tokens. 360M: assumed."""

_GIVEN, _ASSUMED = 1.5, 1.9
"""The mean is likely within this factor, both ways: of a figure for this prompt, and without one. Models
differ by as much."""


@dataclass(frozen=True)
class Length:
    """Lengths of one prompt's outputs for documents of one length, in tokens."""

    mean: float
    """Before maxTokens cuts."""
    factor: float
    """The mean is likely within this factor of it, both ways."""
    spread: float = SPREAD
    runaway: float = 0.0
    """Share of the outputs that never end by themselves; the rest have the mean."""

    def within(self, most: int) -> float:
        """The mean of outputs that `most` tokens cut off."""
        bound = self._bound(most)
        ending = self.mean * _normal(bound - self.spread) + most * (1 - _normal(bound))
        return self.runaway * most + (1 - self.runaway) * ending

    def cut(self, most: int) -> float:
        """The share of the outputs that `most` tokens cut off."""
        return self.runaway + (1 - self.runaway) * (1 - _normal(self._bound(most)))

    def times(self, factor: float) -> Length:
        """Lengths of those that end whose mean is this much larger."""
        return replace(self, mean=self.mean * factor)

    def _bound(self, most: int) -> float:
        """`most` in standard deviations from the mean of the logarithms."""
        return (math.log(most) - math.log(self.mean) + self.spread**2 / 2) / self.spread


def expected_length(prompt: Prompt, model: str, document_tokens: float) -> Length:
    """What is expected of a prompt's outputs by a model, for a document of this length."""
    known = prompt.expected_tokens
    mean = (known or MEAN_OUTPUT_TOKENS) * (max(1.0, document_tokens) / REFERENCE_DOCUMENT) ** GROWTH
    return Length(mean=mean, factor=_GIVEN if known else _ASSUMED, runaway=_runaway(model))


def _runaway(model: str) -> float:
    """Share of the outputs that a small model repeats itself in, or wanders on, until maxTokens."""
    name = model.lower()
    return next((share for part, share in _RUNAWAY.items() if part in name), 0.0)


def _normal(x: float) -> float:
    """Distribution function of the standard normal distribution."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))
