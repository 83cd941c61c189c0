"""Counts the tokens of texts with a model's tokenizer: outputs and original data by the same measure.

The output tokens of a sample would not do. They include the token that ended it, and of a model that reasons
all that is not in its text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from rephrase_worker.models import delivery
from rephrase_worker.rendering.errors import RenderError, third_party
from rephrase_worker.rendering.words import WordTokenizer
from rephrase_worker.spec import ExitCode, Model, Reason, WorkerError


class TokenCounter(Protocol):
    """Counts tokens."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without any that a chat template or a model adds."""


class WordCounter:
    """Counts words, as the simulated engine does."""

    def __init__(self) -> None:
        self._words = WordTokenizer()

    def count(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(self._words.starts(text)) for text in texts]


class ModelCounter:
    """Counts with the tokenizer in a model's folder. Raises WorkerError(MODEL_NOT_FOUND)."""

    def __init__(self, folder: str, name: str) -> None:
        from transformers import AutoTokenizer

        try:
            with third_party(f"The tokenizer of {name} can't be loaded"):
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                self._backend = tokenizer.backend_tokenizer
                self._backend.no_truncation()
                self._backend.no_padding()
        except RenderError as error:
            raise WorkerError(
                Reason.MODEL_NOT_FOUND,
                f"{error}. It counts the tokens of the mix. Check that tokenizer.json and "
                "tokenizer_config.json of the model are there and whole.",
                exit_code=ExitCode.INTERNAL,
            ) from error

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [
            len(encoding.ids)
            for encoding in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        ]


def counter_of(tokenizer: Model | None, environment: Mapping[str, str] = os.environ) -> TokenCounter:
    """The counter that a mix was ordered with. Raises WorkerError(MODEL_NOT_FOUND)."""
    if tokenizer is None:
        return WordCounter()
    return ModelCounter(str(delivery.small_files(tokenizer, environment)), tokenizer.name)
