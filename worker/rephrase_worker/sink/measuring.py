"""The quality of one shard's samples: of what is committed while it runs, and of its final files at the end.

Both come from committed samples alone, so they survive what the samples survive. While the shard runs, only
what reports show is counted, without memory of keys: a twin's samples are counted by the twin. The end counts
everything, from the files that became the dataset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.quality.measure import Measure, Measured
from rephrase_worker.quality.state import bounded
from rephrase_worker.quality.summary import summaries
from rephrase_worker.spec import Prompt, PromptQuality

_COLUMNS = ["text", "prompt_tokens", "output_tokens", "document_language"]


class CommittedQuality:
    """Counts of the samples that are committed, by prompt."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._measures = {prompt.name: Measure(prompt, full=False) for prompt in prompts}
        self._counts = {prompt.name: PromptCounts() for prompt in prompts}

    def add(self, texts: Iterable[tuple[str, str]]) -> None:
        """Count texts that were committed: pairs of prompt and text."""
        by_prompt: dict[str, list[Measured]] = {}
        for prompt, text in texts:
            by_prompt.setdefault(prompt, []).append(Measured(text))
        for prompt, samples in by_prompt.items():
            self._counts[prompt] = bounded(self._counts[prompt] + self._measures[prompt](samples))

    def summaries(self) -> dict[str, PromptQuality]:
        """What a report says, by prompt."""
        return summaries(self._counts)


def measure_file(path: Path, prompt: Prompt, *, filtered: int) -> PromptCounts:
    """The counts of a final file of one prompt. Memory holds the texts of one row group.

    `filtered` is the number of outputs that the file leaves out: judged, and without the structure.
    """
    measure, counts = Measure(prompt), PromptCounts(structure_judged=filtered)
    with pq.ParquetFile(path) as file:
        columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
        for group in range(file.num_row_groups):
            counts = bounded(counts + measure(_measured(file.read_row_group(group, columns=columns))))
    return counts


def _measured(rows: pa.Table) -> list[Measured]:
    columns = [rows.column(name).to_pylist() for name in _COLUMNS[:3]]
    languages: Sequence[str | None] = [None] * rows.num_rows
    if _COLUMNS[3] in rows.column_names:  # Workers of earlier versions did not note it.
        languages = rows.column(_COLUMNS[3]).to_pylist()
    return [
        Measured(text, prompt_tokens, output_tokens, language)
        for text, prompt_tokens, output_tokens, language in zip(*columns, languages, strict=True)
        if text is not None
    ]
