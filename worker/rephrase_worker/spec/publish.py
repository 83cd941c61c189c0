"""Publishing: where on the Hub a finished dataset goes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rephrase_worker.spec.contract import Contract

_REPOSITORY = r"^[A-Za-z0-9][-A-Za-z0-9._]*/[A-Za-z0-9][-A-Za-z0-9._]*$"


class Publish(Contract):
    """A repository of the Hub that gets the finished dataset."""

    repository: Annotated[str, Field(min_length=3, max_length=193, pattern=_REPOSITORY)] = Field(
        description="OWNER/NAME of a dataset repository on the Hugging Face Hub. Planning creates it if it "
        "is not there. One that holds anything else than this dataset is refused. The job needs HF_TOKEN in "
        "worker.env, from a Secret, with the right to write."
    )
    private: bool = Field(default=True, description="Whether a repository that the job creates is private.")
