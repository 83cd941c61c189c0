"""The part of a status that says what finalizing added up: later steps and the job's end go by it."""

from __future__ import annotations

from pydantic import Field

from rephrase_operator.api.status.part import Part


class DatasetSummary(Part):
    """The finished dataset, as its account at the destination says. The counts are exact."""

    documents: int = Field(default=0, description="Documents of the source.")
    samples_text: int = Field(default=0, description="Outputs with text.")
    samples_empty: int = Field(default=0, description="Of those, outputs that are empty or only white space.")
    samples_error: int = Field(default=0, description="Outputs that are an error instead.")
    samples_filtered: int = Field(
        default=0, description="Outputs that were left out because they don't have their prompt's structure."
    )
    samples_missing: int = Field(default=0, description="Outputs that failed shards did not make.")
    output_tokens: int = Field(default=0, description="Tokens written by the model.")
    mix_shards: int = Field(default=0, description="Files that the mix will have.")
