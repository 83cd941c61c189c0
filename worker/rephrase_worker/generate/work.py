"""What the generation loop handles: a document with the samples that it still needs, and its rows.

Pure functions of plain data. Keys, seeds and rows are made only here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from rephrase_worker.columns import Carried
from rephrase_worker.engine import Completion, GenerationRequest
from rephrase_worker.rendering.reasoning import Reasoning
from rephrase_worker.rendering.render import RenderedDocument
from rephrase_worker.samples import Key, Sample
from rephrase_worker.spec import Recipe

if TYPE_CHECKING:
    from datatrove.data import Document

ERROR_LIMIT = 500
"""Most characters of a sample's `error`."""


_UNFINISHED = (
    "reasoning_unfinished: the model was still thinking when its output ended. Raise sampling.maxTokens, "
    "leave strings out of sampling.stop that its reasoning can hold, or turn its reasoning off "
    "(model.chatTemplateArgs)"
)


@dataclass(slots=True, kw_only=True)
class Work:
    """A document and the samples of it that are not committed yet."""

    id: str
    text: str
    error: str | None
    """Why the document can't be rephrased. Its samples become error rows."""
    missing: list[Key]
    fields: dict[str, str]
    """The texts of the columns that prompts have placeholders for."""
    carried: Carried | None
    language: str | None = None
    """The language of the text that was rendered."""
    rendered: RenderedDocument | None = None
    remaining: int = 0
    """Samples that have not finished."""


class Rows:
    """Makes the rows of one shard. Knows the values that all rows of the shard have in common."""

    def __init__(self, recipe: Recipe, *, model: str, revision: str | None) -> None:
        self._hashes = {prompt.name: prompt.hash for prompt in recipe.prompts}
        self._rollouts = range(recipe.sampling.rollouts)
        self._seed = recipe.sampling.seed
        self._stop = tuple(recipe.sampling.stop)
        self._model = model
        self._revision = revision

    def work(self, document: Document, committed: frozenset[Key] | set[Key]) -> Work:
        """What is still to be done for a document that the reader gave."""
        file, position = source_of(document)
        missing = [
            key
            for prompt in self._hashes
            for rollout in self._rollouts
            if (key := Key(file, position, prompt, rollout)) not in committed
        ]
        return Work(
            id=document.id,
            text=document.text,
            error=document.metadata.get("error"),
            missing=missing,
            fields=document.metadata.get("fields", {}),
            carried=document.metadata.get("carried"),
            remaining=len(missing),
        )

    def request(self, work: Work, key: Key, number: int) -> GenerationRequest:
        """The request for one sample of a rendered document; `number` makes it unique."""
        if work.rendered is None:
            raise ValueError("the document has not been rendered")
        return GenerationRequest(
            id=str(number),
            prompt_token_ids=work.rendered.prompt_token_ids[key.prompt],
            seed=sample_seed(self._seed, key),
        )

    def text(
        self, work: Work, key: Key, completion: Completion, reasoning: Reasoning | None = None
    ) -> Sample:
        """The row of a sample that the engine completed: the answer, without the reasoning before it.

        If the reasoning has not ended, the row is an error, with the tokens that it has cost.
        """
        text: str | None = completion.text
        if reasoning is not None:
            text = reasoning.answer(completion.text, completion.token_ids, self._stop)
        if text is None:
            return self._row(work, key, completion=completion, text=None, error=_UNFINISHED)
        return self._row(work, key, completion=completion, text=text, error=None)

    def error(self, work: Work, key: Key, error: str) -> Sample:
        """The row of a sample that could not be made; `error` is `code: sentence`."""
        # What an error quotes can hold characters that no parquet file can store.
        clean = error.encode("utf-8", "replace").decode()
        return self._row(work, key, completion=None, text=None, error=clean[:ERROR_LIMIT])

    def _row(
        self, work: Work, key: Key, *, completion: Completion | None, text: str | None, error: str | None
    ) -> Sample:
        return Sample(
            id=work.id,
            source_file=key.source_file,
            source_position=key.source_position,
            rollout=key.rollout,
            text=text,
            error=error,
            finish_reason=None if completion is None or text is None else completion.finish_reason,
            prompt_tokens=0 if completion is None else completion.prompt_tokens,
            cached_prompt_tokens=0 if completion is None else completion.cached_prompt_tokens,
            output_tokens=0 if completion is None else completion.output_tokens,
            document_language=work.language,
            truncated=work.rendered is not None and work.rendered.truncated,
            prompt=key.prompt,
            prompt_hash=self._hashes[key.prompt],
            model=self._model,
            revision=self._revision,
            seed=sample_seed(self._seed, key),
            carried=work.carried,
        )


def source_of(document: Document) -> tuple[str, int]:
    """The file and position that the reader noted."""
    metadata: Mapping[str, object] = document.metadata
    return str(metadata["source_file"]), int(str(metadata["source_position"]))


def sample_seed(seed: int | None, key: Key) -> int | None:
    """A seed of the sample's own, the same in every attempt; None without a seed in the recipe."""
    if seed is None:
        return None
    digest = sha256("\0".join(map(str, (seed, *key))).encode()).digest()
    return int.from_bytes(digest[:4]) & 0x7FFF_FFFF
