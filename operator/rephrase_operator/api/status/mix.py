"""The part of a status that says how far mixing is, and what it came to."""

from __future__ import annotations

from pydantic import Field

from rephrase_operator.api.status.part import Message, Part, Word


class MixedPrompt(Part):
    """A prompt's share of the tokens that it makes up together with the original data added for it."""

    name: Word = Field(description="Name of the prompt.")
    share_asked: float = Field(description="Share that was asked for.")
    share_reached: float | None = Field(default=None, description="Share in the mix. 0: it has no text.")


class MixStatus(Part):
    """The mix. Its figures are exact, and there once it is complete."""

    total: int = Field(default=0, description="Shards of the mix, a file each.")
    done: int = Field(default=0, description="Shards that are finished.")
    complete: bool = Field(default=False, description="Every shard is finished, and all are added up.")
    rows: int = Field(default=0, description="Rows, repetitions included.")
    tokens: int = Field(default=0, description="Tokens of all rows.")
    synthetic_tokens: int = Field(default=0, description="Tokens of outputs.")
    original_tokens: int = Field(default=0, description="Tokens of original documents.")
    share_asked: float | None = Field(
        default=None, description="Share of the outputs in all tokens that the prompts' shares come to."
    )
    share_reached: float | None = Field(default=None, description="Share of the outputs in all tokens.")
    prompts: list[MixedPrompt] = Field(
        default_factory=list,
        max_length=32,
        description="The shares by prompt.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    short: Message | None = Field(default=None, description="Why the mix is smaller than asked for.")
