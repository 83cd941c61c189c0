"""Mixing: original data beside the outputs, because outputs alone train worse than a mix of both.

The default shares, where a prompt has one, and the half elsewhere are those of the Synthetic Data Playbook
(Hugging Face, 2026). Four repetitions are about what a document is worth almost as much as a new one
(Muennighoff et al., Scaling Data-Constrained Language Models, 2023).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rephrase_worker.spec.contract import Contract
from rephrase_worker.spec.failures import Failure
from rephrase_worker.spec.source import Source

MIX_FOLDER = "mix"
"""Folder of the mixed data at the destination. No prompt can have this name in a job that mixes."""

DEFAULT_SHARE = 0.5
"""Share of the outputs, in tokens, for prompts that say nothing else."""

NO_MIX = "must be between 0 and 1, both excluded: a share of 0 or 1 is no mix"


def _is_mix(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError(NO_MIX)
    return share


Share = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(_is_mix)]


class Mix(Contract):
    """What the outputs are mixed with, and how much of it."""

    source: Source = Field(
        description="The original data: files of the same kinds as the job's own source, which may be used "
        "here too."
    )
    share: dict[str, Share] = Field(
        default_factory=dict,
        max_length=32,
        description="By prompt: share of its outputs in the tokens that they make up together with the "
        "original data added for them. Unset: what the prompt's front matter says, else 0.5.",
    )
    tokens: int | None = Field(
        default=None,
        ge=1,
        le=10**15,
        description="Size of the mix in tokens. Unset: every output is used once, and as much original data "
        "as the shares need.",
    )
    max_repetitions: int = Field(
        default=4,
        ge=1,
        le=100,
        description="How often a document or an output may be in the mix at most. Where this is not enough, "
        "the mix gets smaller, and its shares stay.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Decides which documents are taken and in which order. The same seed and the same data "
        "give the same files.",
    )
    shards: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Files of the mix, each the work of one pod. Unset: about 128 million tokens a file. "
        "There are fewer where the data is too little for so many.",
    )


class MixReport(Contract):
    """Termination message of `rephrase-worker mix`: one shard, and the whole mix once all shards are there.

    The pod that finds every shard finished adds them up. So at least one pod reports the whole, and every
    pod does if the step runs again.
    """

    kind: Literal["mix"] = "mix"
    shard: int = 0
    complete: bool = False
    """All shards are finished; the figures below are those of the whole mix. They are 0 otherwise."""
    rows: int = 0
    tokens: int = 0
    synthetic_tokens: int = 0
    original_tokens: int = 0
    share_asked: float = 0.0
    """Of the outputs in all tokens: what the shares of the prompts come to together."""
    share_reached: float = 0.0
    shares: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """The same by prompt: asked for and reached. The last ones are left out where they are very many."""
    short: str = ""
    """Why the mix is smaller than asked for; empty if it is not."""
    failure: Failure | None = None
