"""`rephrase-worker generate`: one shard, from its frozen plan to its manifest.

It puts the parts together: plan and sink at the destination, the reader, the engine that the settings ask
for, and the loop. It also turns SIGTERM into an orderly end.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from rephrase_worker import layout
from rephrase_worker.bookkeeping import read_plan_of, read_shard
from rephrase_worker.clock import Clock, MonotonicClock
from rephrase_worker.engine import Engine
from rephrase_worker.engine.simulated import MODEL_NAME, SimulatedEngine
from rephrase_worker.engine.support import vllm_version
from rephrase_worker.engine.vllm import VllmEngine
from rephrase_worker.generate.commits import TwinFinishedError
from rephrase_worker.generate.loop import GenerationLoop
from rephrase_worker.generate.work import Rows
from rephrase_worker.manifests import Manifest
from rephrase_worker.models import delivery
from rephrase_worker.rendering.placeholders import check_templates, placeholders
from rephrase_worker.rendering.render import Renderer
from rephrase_worker.rendering.tokenizer import Tokenizer, load_tokenizer
from rephrase_worker.rendering.words import WordTokenizer
from rephrase_worker.report.progress import ShardProgress
from rephrase_worker.samples import Sample
from rephrase_worker.signals import on_sigterm, terminate
from rephrase_worker.sink import Committed, ShardSink
from rephrase_worker.source.reader import ShardReader
from rephrase_worker.spec import EngineSettings, ExitCode, Reason, Recipe, ShardReport, WorkerError
from rephrase_worker.store import Patience, Store
from rephrase_worker.timeline import CommitNote, Worker

DEFAULT_GRACE_SECONDS = 25.0
"""Share of $TERMINATION_GRACE_SECONDS that requests in flight may take after SIGTERM."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker was asked to do."""

    recipe: Recipe
    engine: EngineSettings
    shard: int
    pod_uid: str


class SinkForLoop:
    """The shard's sink as the loop sees it. Each commit notes the work that it comes from."""

    def __init__(
        self, sink: ShardSink, patience: Patience, progress: ShardProgress, clock: Clock, worker: Worker
    ) -> None:
        self._sink = sink
        self._patience = patience
        self._progress = progress
        self._clock = clock
        self._worker = worker
        self._noted: ShardReport | None = None

    def commit(self, samples: Sequence[Sample]) -> None:
        """Write a segment."""
        now = self._progress.report()
        before, self._noted = self._noted, now
        note = CommitNote(
            worker=self._worker,
            at=_milliseconds(self._clock.moment()),
            engine=_milliseconds(now.engine_seconds - (before.engine_seconds if before else 0.0)),
            startup=0 if before else _milliseconds(sum(now.startup_seconds.values())),
            samples=len(samples),
            tokens=now.generated_tokens - (before.generated_tokens if before else 0),
        )
        self._sink.commit(samples, note)

    def finished(self) -> bool:
        """The shard has its manifest."""
        return self._sink.manifest() is not None

    def hurry(self, seconds: float) -> None:
        """Wait no more than this for the store."""
        self._patience.hurry(seconds)


def generate(
    job: Job,
    progress: ShardProgress,
    *,
    on_commit: Callable[[], None],
    environment: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
) -> Manifest:
    """Generate what is missing of a shard and return its manifest. Call from the main thread.

    Raises WorkerError; a failure of the configuration is only fatal to the whole job while nothing
    of it has been committed.
    """
    clock = clock or MonotonicClock()
    patience = Patience(clock, progress)
    store = Store(job.recipe.output.uri, patience=patience)
    try:
        return _generate(job, progress, store, patience, on_commit, environment, clock)
    except WorkerError as error:
        if error.exit_code in (ExitCode.USAGE, ExitCode.CONFIG) and _has_commits(store):
            # Engine settings can change while the job runs, and a mistake in them must not fail a job that
            # has already generated something.
            raise WorkerError(
                error.failure.reason, error.failure.message, exit_code=ExitCode.INTERNAL
            ) from error
        raise


def _generate(
    job: Job,
    progress: ShardProgress,
    store: Store,
    patience: Patience,
    on_commit: Callable[[], None],
    environment: Mapping[str, str],
    clock: Clock,
) -> Manifest:
    check_templates(job.recipe.prompts)
    progress.asks(prompt.name for prompt in job.recipe.prompts)
    read_plan_of(store, job.recipe)
    shard = read_shard(store, job.shard)
    progress.planned(shard.documents)
    sink = ShardSink(store, job.recipe, shard, job.pod_uid)
    if (manifest := sink.manifest()) is not None:
        log.info("shard %d is finished already", job.shard)
        progress.resumed(_report_of(manifest))
        progress.measured(sink.finished_quality())
        return manifest
    progress.enter("starting", "resume")
    committed = sink.resume()
    progress.resumed(_base(job, committed))
    progress.measured(sink.quality())

    def committed_more() -> None:
        progress.measured(sink.quality())
        on_commit()

    documents = ShardReader(shard, job.recipe.source, placeholders(job.recipe.prompts)).run()
    model = _Model(job, shard.model_revision, environment, progress, clock)
    loop = GenerationLoop(
        documents=documents,
        committed=set(committed.keys),
        rows=Rows(
            job.recipe,
            model=job.recipe.model.name if job.engine.backend == "vllm" else MODEL_NAME,
            revision=shard.model_revision,
        ),
        make_engine=lambda: _make_engine(job, model, environment, clock),
        make_renderer=lambda engine: _make_renderer(job, model, engine),
        sink=SinkForLoop(sink, patience, progress, clock, worker_of(job, environment)),
        progress=progress,
        clock=clock,
        on_commit=committed_more,
        max_requests_in_flight=job.engine.max_requests_in_flight,
        hang_timeout_seconds=job.engine.hang_timeout_seconds,
        commit_interval_seconds=job.engine.commit_interval_seconds,
        grace_seconds=float(environment.get("TERMINATION_GRACE_SECONDS") or DEFAULT_GRACE_SECONDS),
    )
    try:
        asyncio.run(_run(loop))
    except TwinFinishedError:
        log.info("another worker has finished shard %d", job.shard)
        manifest = sink.manifest()
        if manifest is None:
            raise WorkerError(
                Reason.INTERNAL, f"The manifest of shard {job.shard} was there and is gone."
            ) from None
        progress.measured(sink.finished_quality())
        return manifest
    progress.planned(len(loop.positions))
    progress.enter("merging", "")
    on_commit()
    manifest = sink.finish(loop.positions)
    progress.measured(sink.finished_quality())
    return manifest


def worker_of(job: Job, environment: Mapping[str, str]) -> Worker:
    """This process in the shard's timeline. The operator says where it runs and how many GPUs it holds."""
    gpus = environment.get("REPHRASE_GPUS", "")
    return Worker(
        name=environment.get("POD_NAME") or job.pod_uid,
        node=environment.get("NODE_NAME", ""),
        gpus=int(gpus) if gpus.isdecimal() else job.engine.gpus,
        software=f"{_engine_of(job.engine)}, {_PACKAGE} {version(_PACKAGE)}",
        settings=_settings_of(job.engine),
    )


_PACKAGE = "rephrase-operator"
_NO_MATTER_OF_THE_DATASET = {"backend", "hang_timeout_seconds", "commit_interval_seconds"}


def _engine_of(engine: EngineSettings) -> str:
    return vllm_version() if engine.backend == "vllm" else "simulated engine"


def _settings_of(engine: EngineSettings) -> str:
    """What is set of the settings that shape the work, for people."""
    chosen = engine.model_dump(by_alias=True, exclude_defaults=True, exclude=_NO_MATTER_OF_THE_DATASET)
    speculation = chosen.pop("speculation", None) or {}
    words = [f"{name} {value}" for name, value in chosen.items()]
    words += [f"speculation.{name} {value}" for name, value in speculation.items()]
    return ", ".join(words)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


async def _run(loop: GenerationLoop) -> None:
    """Run the loop. SIGTERM asks it to stop, and interrupts the start of an engine."""
    event_loop = asyncio.get_running_loop()

    def handle() -> None:
        event_loop.call_soon_threadsafe(loop.request_stop)
        if loop.starting_engine:
            terminate()

    with on_sigterm(handle):
        await loop.run()


class _Model:
    """The model's folder on this machine, fetched when it is first asked for: a shard may need no engine."""

    def __init__(
        self,
        job: Job,
        commit: str | None,
        environment: Mapping[str, str],
        progress: ShardProgress,
        clock: Clock,
    ) -> None:
        self._job = job
        self._commit = commit
        self._environment = environment
        self._progress = progress
        self._clock = clock

    @cached_property
    def folder(self) -> str:
        """Fetches it. SIGTERM breaks that off. Raises WorkerError."""
        self._progress.enter("starting", "model")
        began = self._clock.now()
        with on_sigterm(terminate):
            folder = delivery.fetch(
                self._job.recipe.model,
                self._commit,
                self._environment,
                local_only=delivery.shared_cache(self._environment),
            )
        self._progress.step_took("model", self._clock.now() - began)
        return str(folder)


def _make_engine(job: Job, model: _Model, environment: Mapping[str, str], clock: Clock) -> Engine:
    if job.engine.backend == "simulated":
        return SimulatedEngine.from_environment(job.engine, job.recipe.sampling, environment, clock=clock)
    return VllmEngine(
        engine=job.engine, model=job.recipe.model, sampling=job.recipe.sampling, folder=model.folder
    )


def _make_renderer(job: Job, model: _Model, engine: Engine) -> Renderer:
    tokenizer: Tokenizer = WordTokenizer()
    if job.engine.backend == "vllm":
        tokenizer = load_planned_tokenizer(model.folder, job.recipe.model.chat_template_args)
    return Renderer(
        tokenizer,
        job.recipe.prompts,
        max_model_len=engine.max_model_len,
        max_tokens=job.recipe.sampling.max_tokens,
    )


def load_planned_tokenizer(folder: str, arguments: Mapping[str, str]) -> Tokenizer:
    """The tokenizer that the planner has tried. If it fails now, the cause is this node, so it is retried."""
    try:
        return load_tokenizer(folder, None, arguments=arguments)
    except WorkerError as error:
        raise WorkerError(
            error.failure.reason,
            f"{error.failure.message} It could be used while the job was planned, so that something is "
            "different on this node: its cache, its mount or its image.",
            exit_code=ExitCode.INTERNAL,
        ) from error


def _base(job: Job, committed: Committed) -> ShardReport:
    """The account of what earlier pods committed."""
    totals = committed.totals
    samples = Counter((key.source_file, key.source_position) for key in committed.keys)
    per_document = job.recipe.samples_per_document
    return ShardReport(
        shard=job.shard,
        documents_done=sum(count == per_document for count in samples.values()),
        samples_text=totals.text,
        samples_empty=totals.empty,
        samples_error=totals.error,
        errors=dict(totals.errors),
        prompt_tokens=totals.prompt_tokens,
        cached_prompt_tokens=totals.cached_prompt_tokens,
        output_tokens=totals.output_tokens,
    )


def _report_of(manifest: Manifest) -> ShardReport:
    """The account of a finished shard."""
    accounts = manifest.prompts.values()
    errors: Counter[str] = Counter()
    for account in accounts:
        errors.update(account.errors)
    return ShardReport(
        shard=manifest.shard,
        documents_done=manifest.documents,
        samples_text=sum(account.text + account.filtered for account in accounts),
        samples_empty=sum(account.empty for account in accounts),
        samples_error=sum(account.error for account in accounts),
        errors=dict(errors),
        prompt_tokens=sum(account.prompt_tokens for account in accounts),
        cached_prompt_tokens=sum(account.cached_prompt_tokens for account in accounts),
        output_tokens=sum(account.output_tokens + account.filtered_output_tokens for account in accounts),
    )


def _has_commits(store: Store) -> bool:
    """Whether any shard is finished or has committed samples."""
    return bool(store.list(layout.MANIFESTS)) or any(map(store.list, store.folders(layout.SEGMENTS)))


def final_report(manifest: Manifest, progress: ShardProgress) -> ShardReport:
    """The last report of a shard that is done: its counts are the manifest's, not this process's."""
    counts = _report_of(manifest)
    return progress.report().model_copy(
        update={
            "state": "done",
            "step": "",
            "documents_planned": manifest.documents,
            **counts.model_dump(
                include={
                    "documents_done",
                    "samples_text",
                    "samples_empty",
                    "samples_error",
                    "errors",
                    "prompt_tokens",
                    "cached_prompt_tokens",
                    "output_tokens",
                }
            ),
        }
    )
