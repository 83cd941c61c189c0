"""A generation loop with everything around it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from datatrove.data import Document

from rephrase_worker.engine import Completion, Engine, GenerationRequest
from rephrase_worker.engine.simulated import SimulatedEngine
from rephrase_worker.generate.commits import Sink
from rephrase_worker.generate.loop import GenerationLoop
from rephrase_worker.generate.shard import SinkForLoop
from rephrase_worker.generate.work import Rows
from rephrase_worker.plan import Range, ShardPlan, SourceFile
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.words import WordTokenizer
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.samples import Key, Sample
from rephrase_worker.sink import ShardSink
from rephrase_worker.spec import Recipe, WorkerError
from rephrase_worker.store import Patience, Store
from rephrase_worker.timeline import Worker
from tests.worker.builders import make_recipe
from tests.worker.virtual_clock import VirtualClock

SHARD = ShardPlan(
    shard=0,
    root="/data",
    ranges=[
        Range(
            file=SourceFile(
                path="a.parquet", format="parquet", size=9, etag="e", documents=9, documents_exact=True
            ),
            start=0,
        )
    ],
    documents=9,
    documents_exact=True,
)
"""What `documents` are the documents of."""


class MemorySink:
    """Keeps commits in memory; hooks let a test look or interfere at each."""

    def __init__(self) -> None:
        self.commits: list[list[Sample]] = []
        self.twin_finished = False

    def commit(self, samples: Sequence[Sample]) -> None:
        self.commits.append(list(samples))

    def finished(self) -> bool:
        return self.twin_finished

    def hurry(self, seconds: float) -> None:
        pass

    @property
    def samples(self) -> list[Sample]:
        return [sample for commit in self.commits for sample in commit]

    @property
    def keys(self) -> set[Key]:
        return {sample.key for sample in self.samples}


class ObservedEngine(SimulatedEngine):
    """A simulated engine that tests can wait for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._changed = asyncio.Event()
        self.on_request: Callable[[], None] = lambda: None
        self.last_answer = 0.0

    async def generate(self, request: GenerationRequest) -> Completion:
        self.on_request()
        self._changed.set()
        try:
            completion = await super().generate(request)
            self.last_answer = self._clock.now()
            return completion
        finally:
            self._changed.set()

    async def reached(self, *, requests: int = 0, answered: int = 0) -> None:
        """Return when the engine has been asked and has answered so often."""
        while len(self.requests) < requests or self.answered < answered:
            self._changed.clear()
            await self._changed.wait()


class Bench:
    """A loop with everything around it."""

    def __init__(
        self,
        documents: Iterable[Document],
        *,
        sink: MemorySink | None = None,
        prompts: Sequence[str] = ("faq", "math"),
        rollouts: int = 1,
        seed: int | None = None,
        limit: int | None = None,
        grace: float = 25.0,
        hang_timeout: float = 600.0,
        store: str | None = None,
        **engine: Any,
    ) -> None:
        """With `store`, samples go into the worker's own sink there, patient by the virtual clock."""
        self.clock = VirtualClock()
        self.sink = sink or MemorySink()
        self.recipe: Recipe = make_recipe("source", "output", prompts=prompts, rollouts=rollouts)
        if seed is not None:
            sampling = self.recipe.sampling.model_copy(update={"seed": seed})
            self.recipe = self.recipe.model_copy(update={"sampling": sampling})
        self.progress = ShardProgress(shard=0, pod_uid="pod", now=self.clock.now)
        self.engine = ObservedEngine(clock=self.clock, **engine)
        self.engines_made = 0
        if store is None:
            self.loop = self._make_loop(documents, self.sink, self.sink.keys, limit, hang_timeout, grace)
        else:
            patience = Patience(self.clock, self.progress)
            shard_sink = ShardSink(Store(store, patience=patience), self.recipe, SHARD, "pod")
            committed = ShardSink(Store(store), self.recipe, SHARD, "reader").resume().keys
            sink_for_loop = SinkForLoop(shard_sink, patience, self.progress, self.clock, Worker(name="pod"))
            self.loop = self._make_loop(documents, sink_for_loop, committed, limit, hang_timeout, grace)

    def _make_loop(
        self,
        documents: Iterable[Document],
        sink: Sink,
        committed: set[Key],
        limit: int | None,
        hang_timeout: float,
        grace: float,
    ) -> GenerationLoop:
        return GenerationLoop(
            documents=documents,
            committed=committed,
            rows=Rows(self.recipe, model="simulated", revision="abc"),
            make_engine=self._make_engine,
            make_renderer=self._make_renderer,
            sink=sink,
            progress=self.progress,
            clock=self.clock,
            on_commit=lambda: None,
            max_requests_in_flight=limit,
            hang_timeout_seconds=hang_timeout,
            commit_interval_seconds=10.0,
            grace_seconds=grace,
        )

    def _make_engine(self) -> Engine:
        self.engines_made += 1
        return self.engine

    def _make_renderer(self, engine: Engine) -> Renderer:
        return Renderer(
            WordTokenizer(), self.recipe.prompts, max_model_len=engine.max_model_len, max_tokens=64
        )

    async def run(self) -> None:
        await self.clock.run(self.loop.run())

    async def fail(self) -> WorkerError:
        with pytest.raises(WorkerError) as caught:
            await self.run()
        return caught.value

    async def stop_when(self, reached: int) -> None:
        """SIGTERM, when the engine has been asked this often."""
        await self.engine.reached(requests=reached)
        self.loop.request_stop()


def documents(count: int, *, broken: Iterable[int] = ()) -> list[Document]:
    made = []
    for number in range(count):
        metadata: dict[str, Any] = {"source_file": "a.parquet", "source_position": number}
        if number in set(broken):
            metadata["error"] = "missing_text: the text is null"
        text = "" if "error" in metadata else f"document {number} has words"
        made.append(Document(text=text, id=f"id-{number}", metadata=metadata))
    return made


def keys(count: int, prompts: Sequence[str] = ("faq", "math"), rollouts: int = 1) -> set[Key]:
    return {
        Key("a.parquet", number, prompt, rollout)
        for number in range(count)
        for prompt in prompts
        for rollout in range(rollouts)
    }
