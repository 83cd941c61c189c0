"""The part of a status that says what publishing put on the Hub."""

from __future__ import annotations

from pydantic import Field

from rephrase_operator.api.status.part import Part, Word


class Published(Part):
    """The dataset in its repository. All of it is there, and was compared."""

    repository: Word = Field(description="OWNER/NAME of the dataset repository.")
    revision: Word | None = Field(default=None, description="Commit that holds the whole dataset.")
    files: int = Field(default=0, description="Files of the dataset.")
    bytes: int = Field(default=0, description="Their size in bytes.")
