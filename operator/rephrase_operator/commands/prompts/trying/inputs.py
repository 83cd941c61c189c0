"""Documents and prompts that a user names on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from rephrase_operator.commands.prompts.choose import UnknownPromptError, choose
from rephrase_operator.commands.prompts.trying.answers import (
    DEFAULT_MAX_TOKENS,
    Document,
    TriedPrompt,
    TryError,
)
from rephrase_operator.library import Layout
from rephrase_worker.spec import Prompt, Sampling, Source
from rephrase_worker.uris import protocol_of

Number = TypeVar("Number", int, float)

MOST_PASSED_OVER = 1000
"""Documents without a text that are passed over in a row before the search ends."""


def read_documents(
    uri: str, text_field: str, prompts: Sequence[Prompt], *, skip: int, count: int
) -> list[Document]:
    """The first documents that have a text, after `skip` others.

    A .txt file is one document. All else is read as a job reads it. Raises TryError and WorkerError.
    """
    if uri.endswith(".txt"):
        try:
            return [Document(Path(uri).name, Path(uri).read_text("utf-8"))]
        except (OSError, UnicodeDecodeError) as error:
            raise TryError(f"--input {uri} can't be read: {error}") from error
    found = list(islice(_documents(uri, text_field, prompts), skip, skip + count))
    if not found:
        raise TryError(f"--input {uri}: there is no document with a text after the first {skip}.")
    return found


def _documents(uri: str, text_field: str, prompts: Sequence[Prompt]) -> Iterator[Document]:
    from rephrase_worker.columns import Wanted
    from rephrase_worker.plan import Range, ShardPlan
    from rephrase_worker.planner.listing import list_files
    from rephrase_worker.rendering.placeholders import placeholders
    from rephrase_worker.source.reader import ShardReader

    source = Source(uri=uri if protocol_of(uri) else str(Path(uri).resolve()), text_field=text_field)
    names = placeholders(prompts)
    listing = list_files(source, Wanted(placeholders=names))
    ranges = [Range(file=file, start=0) for file in listing.files]
    plan = ShardPlan(
        shard=0,
        root=listing.root,
        ranges=[
            range_.model_copy(
                update={"end": range_.file.documents if range_.file.format == "parquet" else None}
            )
            for range_ in ranges
        ],
        documents=1,
        documents_exact=False,
    )
    passed_over = 0
    for document in ShardReader(plan, source, names).run():
        if "error" in document.metadata:
            passed_over += 1
            if passed_over > MOST_PASSED_OVER:
                raise TryError(
                    f"--input {uri}: the first {passed_over} documents can't be used. The last: "
                    f"{document.metadata['error']}"
                )
            continue
        yield Document(str(document.id), document.text, document.metadata.get("fields") or {})


def read_prompts(
    given: Sequence[str],
    layouts: Sequence[Layout | None],
    *,
    temperature: float | None,
    max_tokens: int | None,
) -> list[TriedPrompt]:
    """The prompts in every layout asked for. What the command line says of sampling wins over the prompts.

    Raises TryError.
    """
    tried: list[TriedPrompt] = []
    for name in given:
        try:
            chosen = choose(name.removeprefix("@"))
            facts = chosen.prompt.facts
            suggested = facts.sampling
            sampling = Sampling(
                temperature=_first(1.0, temperature, suggested.temperature),
                max_tokens=_first(DEFAULT_MAX_TOKENS, max_tokens, suggested.max_tokens),
            )
            for layout in layouts if chosen.has_layouts else [None]:
                shown = chosen.name if len(layouts) == 1 or layout is None else f"{chosen.name} · {layout}"
                prompt = Prompt(
                    name=f"p{len(tried)}",
                    template=chosen.prompt.template(layout),
                    system=facts.system,
                    structure=facts.structure,
                )
                tried.append(TriedPrompt(shown, prompt, sampling))
        except (UnknownPromptError, ValueError) as error:
            raise TryError(str(error)) from error
    return tried


def _first(default: Number, *values: Number | None) -> Number:
    return next((value for value in values if value is not None), default)
