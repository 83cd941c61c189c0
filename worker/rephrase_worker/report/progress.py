"""The running account of one shard, from which `/progress`, `/metrics` and the termination message come.

Plain counters behind a lock: the generation loop writes, telemetry threads read. There are two accounts: what
earlier pods committed, and what this process finished. Reports are about the shard and show the sum.
Prometheus counters have to start at zero with the process, so they show this process alone.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from rephrase_worker.samples import Sample, error_code, is_empty
from rephrase_worker.spec import Failure, PromptQuality, ShardReport

RATE_WINDOW_SECONDS = 30.0
REPORTED_ERROR_CODES = 16

State = Literal["starting", "generating", "merging", "done", "failed"]


class TokenRate:
    """Tokens per second over the last half minute, from a count that only grows."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def observe(self, now: float, total: int) -> None:
        """Note the count at a moment (seconds, monotonic)."""
        self._points.append((now, total))
        # Keep one point from before the window, so that the points cover all of it.
        while len(self._points) > 2 and self._points[1][0] <= now - RATE_WINDOW_SECONDS:
            self._points.popleft()

    def per_second(self) -> float:
        """The rate between the oldest and the newest point; 0 while there are fewer than two."""
        if len(self._points) < 2:
            return 0.0
        (start, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / (end - start) if end > start else 0.0


@dataclass
class Counts:
    """Counts of samples and tokens."""

    documents: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    output_tokens: Counter[str] = field(default_factory=Counter)
    """By prompt."""
    empty: int = 0
    """Texts that are empty or only white space."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Samples by prompt and outcome (`text` or `error`)."""
    errors: Counter[str] = field(default_factory=Counter)
    """Samples in error by code."""

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.prompt_tokens += sample.prompt_tokens
        self.cached_prompt_tokens += sample.cached_prompt_tokens
        self.output_tokens[sample.prompt] += sample.output_tokens
        self.empty += sample.text is not None and is_empty(sample.text)
        self.outcomes[sample.prompt, "text" if sample.error is None else "error"] += 1
        if sample.error is not None:
            self.errors[error_code(sample.error)] += 1


class ShardProgress:
    """Counters of one shard. Safe to use from several threads."""

    def __init__(self, *, shard: int, pod_uid: str, now: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._now = now
        self._shard = shard
        self._pod_uid = pod_uid
        self._state: State = "starting"
        self._step = ""
        self._documents_planned = 0
        self._base = ShardReport(shard=shard)
        self._own = Counts()
        self._rate = TokenRate()
        self._engine_tokens: Callable[[], int] = int
        self._engine_ready: float | None = None
        self._engine_seconds = 0.0
        self._in_flight = 0
        self._commits = 0
        self._commit_failures = 0
        self._store_fails_since: float | None = None
        self._startup: dict[str, float] = {}
        self._quality: Mapping[str, PromptQuality] = {}
        self._failure: Failure | None = None
        self._hangs = False

    def planned(self, documents: int) -> None:
        """Set the number of documents that the plan gives the shard; corrected if reading finds another."""
        with self._lock:
            self._documents_planned = documents

    def asks(self, prompts: Iterable[str]) -> None:
        """Set the names of the shard's prompts. Their counts are shown from the start, as zero.

        A counter that appears with a value loses that value: Prometheus counts from the first value it sees.
        """
        with self._lock:
            for prompt in prompts:
                self._own.output_tokens[prompt] += 0
                self._own.outcomes[prompt, "text"] += 0
                self._own.outcomes[prompt, "error"] += 0

    def resumed(self, base: ShardReport) -> None:
        """Set what earlier pods committed. Only the counts of `base` are used."""
        with self._lock:
            self._base = base

    def measured(self, quality: Mapping[str, PromptQuality]) -> None:
        """Set the quality of the shard's committed texts, what earlier pods committed included."""
        with self._lock:
            self._quality = quality

    def enter(self, state: State, step: str) -> None:
        """Set what the worker does now; `step` is for people."""
        with self._lock:
            self._state, self._step = state, step

    def step_took(self, step: str, seconds: float) -> None:
        """Note how many seconds a step of the start-up took."""
        with self._lock:
            self._startup[step] = seconds

    def engine_ready(self, tokens: Callable[[], int]) -> None:
        """Note that the engine runs from now on; `tokens` reads its count of generated tokens."""
        with self._lock:
            self._engine_ready = self._now()
            self._engine_tokens = tokens
            self._rate.observe(self._engine_ready, tokens())

    def engine_closed(self) -> None:
        """Note that the engine has ended: its seconds stop, and its last token count stays."""
        with self._lock:
            total = self._engine_tokens()
            self._engine_seconds = self._seconds_of_engine()
            self._engine_ready = None
            self._engine_tokens = lambda: total

    def tick(self) -> None:
        """Note the engine's token count for the rate; once a second."""
        with self._lock:
            self._rate.observe(self._now(), self._engine_tokens())

    def admitted(self, requests: int) -> None:
        """Count requests that were handed to the engine."""
        with self._lock:
            self._in_flight += requests

    def left(self) -> None:
        """Count a request that has ended, with or without an answer."""
        with self._lock:
            self._in_flight -= 1

    def finished(self, samples: Iterable[Sample]) -> None:
        """Count samples that are finished, as text or as error."""
        with self._lock:
            for sample in samples:
                self._own.add(sample)

    def document_finished(self) -> None:
        """Count a document whose samples are all finished."""
        with self._lock:
            self._own.documents += 1

    def committed(self) -> None:
        """Count a segment that was written."""
        with self._lock:
            self._commits += 1

    def store_failed(self, *, writing: bool) -> None:
        """Note that an attempt at `writing` to the destination, or at reading from it, has failed."""
        with self._lock:
            self._commit_failures += writing
            if self._store_fails_since is None:
                self._store_fails_since = self._now()

    def store_works(self) -> None:
        """Note that the operation that had failed has worked."""
        with self._lock:
            self._store_fails_since = None

    def failed(self, failure: Failure, *, hangs: bool) -> None:
        """Note that the worker is about to fail; with `hangs` it is unhealthy from now on."""
        with self._lock:
            self._state, self._failure, self._hangs = "failed", failure, hangs

    @property
    def healthy(self) -> bool:
        """False once the watchdog has found that the engine hangs."""
        return not self._hangs

    def _step_now(self) -> str:
        if self._store_fails_since is None:
            return self._step
        return f"the output fails, for {self._now() - self._store_fails_since:.0f} s now"

    def _seconds_of_engine(self) -> float:
        running = 0.0 if self._engine_ready is None else self._now() - self._engine_ready
        return self._engine_seconds + running

    def report(self) -> ShardReport:
        """The account of the whole shard, as it is now."""
        with self._lock:
            base, own = self._base, self._own
            errors = Counter(base.errors) + own.errors
            return ShardReport(
                shard=self._shard,
                pod_uid=self._pod_uid,
                state=self._state,
                step=self._step_now(),
                documents_planned=self._documents_planned,
                documents_done=base.documents_done + own.documents,
                samples_text=base.samples_text + _count(own.outcomes, "text"),
                samples_empty=base.samples_empty + own.empty,
                samples_error=base.samples_error + _count(own.outcomes, "error"),
                errors=dict(errors.most_common(REPORTED_ERROR_CODES)),
                prompt_tokens=base.prompt_tokens + own.prompt_tokens,
                cached_prompt_tokens=base.cached_prompt_tokens + own.cached_prompt_tokens,
                output_tokens=base.output_tokens + own.output_tokens.total(),
                tokens_per_second=round(self._rate.per_second(), 2) if self._state == "generating" else 0.0,
                in_flight=self._in_flight,
                commits=self._commits,
                commit_failures=self._commit_failures,
                engine_seconds=round(self._seconds_of_engine(), 3),
                generated_tokens=self._engine_tokens(),
                startup_seconds={step: round(seconds, 3) for step, seconds in self._startup.items()},
                quality=dict(self._quality),
                failure=self._failure,
            )

    def snapshot(self) -> Snapshot:
        """This process's own counts, for Prometheus."""
        with self._lock:
            return Snapshot(
                documents=self._own.documents,
                outcomes=dict(self._own.outcomes),
                prompt_tokens=self._own.prompt_tokens,
                cached_prompt_tokens=self._own.cached_prompt_tokens,
                output_tokens=dict(self._own.output_tokens),
                generated_tokens=self._engine_tokens(),
                in_flight=self._in_flight,
                commits=self._commits,
                commit_failures=self._commit_failures,
                engine_seconds=self._seconds_of_engine(),
                startup_seconds=dict(self._startup),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """This process's own counts at one moment."""

    documents: int
    outcomes: Mapping[tuple[str, str], int]
    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: Mapping[str, int]
    """Of finished samples, by prompt."""
    generated_tokens: int
    """Output tokens of all requests, unfinished ones included."""
    in_flight: int
    commits: int
    commit_failures: int
    engine_seconds: float
    startup_seconds: Mapping[str, float]


def _count(outcomes: Mapping[tuple[str, str], int], outcome: str) -> int:
    return sum(count for (_, kind), count in outcomes.items() if kind == outcome)
