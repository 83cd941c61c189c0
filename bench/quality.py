"""Host CPU that measuring quality takes of a worker: from the first commit to the manifest.

The same samples of about 400 tokens are committed, summed up after each commit, merged and accounted for,
once with measuring and once without, in alternating order. The difference is set against the host CPU that a
worker takes for a sample today, engine included. Run it alone, from the root of the repository:

    .venv/bin/python -m bench.quality
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pydoc_data import topics
from unittest import mock

from bench import results
from rephrase_operator.library import library
from rephrase_worker.plan import Range, ShardPlan, SourceFile
from rephrase_worker.quality.counts import PromptCounts
from rephrase_worker.quality.language import language_of
from rephrase_worker.samples import Sample
from rephrase_worker.sink import ShardSink, measuring
from rephrase_worker.spec import Model, Output, Owner, Prompt, Recipe, Source
from rephrase_worker.store import Store

PROMPTS = ("faq", "math", "table", "tutorial")
CHARACTERS = 1700
"""About 400 tokens of English."""
COMMIT_SAMPLES = 400
WORKER_MICROSECONDS = 5000
"""Host CPU that a worker takes for a sample today."""
GOAL = 0.02


def main() -> None:
    """Measure, print a line a run and the result, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    recipe = _recipe()
    samples = _samples(recipe, given.documents)
    documents = [sample.text or "" for sample in samples[:: len(PROMPTS)]]
    run(recipe, samples, documents, measured=True)  # Imports and caches.
    pairs = []
    for number in range(given.pairs):
        took = {}
        for measured in (True, False) if number % 2 else (False, True):
            took[measured] = run(recipe, samples, documents, measured=measured)
        pairs.append(took)
        print(
            f"with {took[True]:.1f} µs a sample, without {took[False]:.1f}, "
            f"difference {took[True] - took[False]:.1f}"
        )
    differences = sorted(took[True] - took[False] for took in pairs)
    median = statistics.median(differences)
    share = median / WORKER_MICROSECONDS
    print(
        f"{median:.1f} µs of host CPU a sample: {share:.2%} of {WORKER_MICROSECONDS} µs "
        f"(goal: below {GOAL:.0%})"
    )
    results.write(
        "quality",
        value=round(share, 5),
        unit=f"share of {WORKER_MICROSECONDS} µs, the host CPU that a worker takes for a sample",
        goal=GOAL,
        better="lower",
        against={
            "name": "the same without measuring",
            "microseconds": [round(took[False], 1) for took in pairs],
        },
        runs=[round(difference, 1) for difference in differences],
        interval=[round(differences[0], 1), round(differences[-1], 1)],
        command=f"python -m bench.quality --documents {given.documents} --pairs {given.pairs}",
    )


def run(recipe: Recipe, samples: Sequence[Sample], documents: Sequence[str], *, measured: bool) -> float:
    """Microseconds of CPU a sample, of all threads of this process."""
    store = Store(f"memory://{uuid.uuid4().hex}")
    with _nothing_measured(active=not measured):
        began = time.process_time()
        if measured:
            for text in documents:
                language_of(text)
        sink = ShardSink(store, recipe, _shard(len(documents)), "bench")
        for start in range(0, len(samples), COMMIT_SAMPLES):
            sink.commit(samples[start : start + COMMIT_SAMPLES])
            sink.quality()
        sink.finish([("a.jsonl", position) for position in range(len(documents))])
        return (time.process_time() - began) / len(samples) * 1e6


@contextmanager
def _nothing_measured(*, active: bool) -> Iterator[None]:
    if not active:
        yield
        return
    with (
        mock.patch.object(measuring.CommittedQuality, "add"),
        mock.patch.object(measuring.CommittedQuality, "summaries", return_value={}),
        mock.patch("rephrase_worker.sink.sink.measure_file", return_value=PromptCounts()),
    ):
        yield


def _recipe() -> Recipe:
    known = library()
    return Recipe(
        job=Owner(namespace="bench", name="quality"),
        source=Source(uri="/in"),
        prompts=[
            Prompt(name=name, template=known[name].template(), structure=known[name].facts.structure)
            for name in PROMPTS
        ],
        model=Model(name="simulated"),
        output=Output(uri="/out"),
    )


def _shard(documents: int) -> ShardPlan:
    file = SourceFile(
        path="a.jsonl", format="jsonl", size=9, etag="e", documents=documents, documents_exact=True
    )
    return ShardPlan(
        shard=0,
        root="/in",
        ranges=[Range(file=file, start=0, end=9)],
        documents=documents,
        documents_exact=True,
    )


def _samples(recipe: Recipe, documents: int) -> list[Sample]:
    """English prose, another piece of it for each sample. Paragraphs are not wrapped: no model wraps them."""
    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    text = re.sub(r"(?<!\n)\n(?!\n) *", " ", text)
    rng = random.Random(7)
    return [
        Sample(
            id=str(position),
            source_file="a.jsonl",
            source_position=position,
            rollout=0,
            text=text[(start := rng.randrange(len(text) - CHARACTERS)) : start + CHARACTERS],
            error=None,
            finish_reason="stop",
            prompt_tokens=700,
            cached_prompt_tokens=500,
            output_tokens=400,
            truncated=False,
            document_language="en",
            prompt=prompt.name,
            prompt_hash=prompt.hash,
            model="simulated",
            revision=None,
            seed=None,
        )
        for position in range(documents)
        for prompt in recipe.prompts
    ]


if __name__ == "__main__":
    main()
