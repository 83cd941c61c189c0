"""A job of the simulated engine, random faults on its worker processes, and the proof of its account.

Faults are drawn from a seed. What they meet depends on the machine as well: a signal is sent after a random
time, whatever the process does then.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from rephrase_worker import layout
from rephrase_worker.manifests import Manifest
from rephrase_worker.spec import EngineSettings, ExitCode, Output, Recipe
from rephrase_worker.store.atomic import is_temporary
from tests.worker.builders import make_recipe, write_jsonl, write_parquet
from tests.worker.forked_worker import ForkedWorker, StoreFault

PROMPTS = ("faq", "math", "table")
TOKEN_SECONDS = "0.1"
"""By the worker's clock. A shard then takes several commits, and most faults find it half done."""

LONGEST_SECONDS = 0.7
"""A signal is sent within this time: by then most undisturbed attempts are done."""

DEEPEST = 40
"""The store fails within so many operations: about as many as an undisturbed worker does."""

FAULTS = {
    "SIGKILL at a random time": {-signal.SIGKILL},
    "SIGTERM at a random time": {ExitCode.PREEMPTED, -signal.SIGTERM},
    "SIGKILL at an operation of the store": {-signal.SIGKILL},
    "SIGTERM at an operation of the store": {ExitCode.PREEMPTED, -signal.SIGTERM},
    "an operation of the store fails": {ExitCode.INTERNAL},
    "an answer of the store is lost": {ExitCode.INTERNAL},
    "the store is away for a while": {ExitCode.INTERNAL},
    "the store stays away": {ExitCode.INTERNAL},
    "the engine dies": {ExitCode.ENGINE},
}
"""What may strike a process, and the exit codes that it may lead to. Success is always allowed.

SIGTERM ends a process that has no handler yet; as a container's first process it would not even notice.
"""


@dataclass
class JobFiles:
    """A job on disk, and the commands on it as processes."""

    folder: Path
    recipe: Recipe
    attempts: int = 0

    def __post_init__(self) -> None:
        engine = EngineSettings(backend="simulated", max_requests_in_flight=8, commit_interval_seconds=1)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "recipe.json").write_text(self.recipe.to_json())
        (self.folder / "engine.json").write_text(engine.to_json())

    @property
    def output(self) -> Path:
        return Path(self.recipe.output.uri)

    @property
    def shards(self) -> int:
        plan = json.loads((self.output / layout.PLAN).read_bytes())
        return int(plan["shards"])

    def words(self, command: str) -> list[str]:
        """The command line of `plan` or `finalize`."""
        return [command, "--recipe", str(self.folder / "recipe.json")]

    def generate(self, shard: int) -> list[str]:
        """The command line of `generate`."""
        return [*self.words("generate"), "--engine", str(self.folder / "engine.json"), "--shard", str(shard)]

    def start(
        self, words: list[str], pod: int, fault: StoreFault | None = None, **environment: str
    ) -> closing[ForkedWorker]:
        """A new process in this pod."""
        self.attempts += 1
        settings = {
            "REPHRASE_SIMULATED_TOKEN_SECONDS": TOKEN_SECONDS,
            "REPHRASE_SIMULATED_OUTPUT_TOKENS": "8",
            "TERMINATION_GRACE_SECONDS": "1",
            "POD_UID": f"pod-{pod}",
        }
        folder = self.folder / "attempts" / f"{self.attempts:04d}"
        return closing(ForkedWorker(words, settings | environment, folder, fault))

    def succeed(self, words: list[str]) -> None:
        """Run a command that nothing disturbs, as fast as it can."""
        with self.start(words, self.attempts + 1, REPHRASE_SIMULATED_TOKEN_SECONDS="0") as worker:
            assert worker.wait() == ExitCode.OK, worker.log.read_text()

    def rows(self, prompt: str) -> list[dict[str, Any]]:
        """Every row of a prompt's files, in the order of the shards."""
        files = sorted((self.output / prompt).iterdir())
        return [row for file in files for row in pq.read_table(file).to_pylist()]


@dataclass
class Attempt:
    """A process and what is to strike it."""

    kind: str
    worker: ForkedWorker
    moment: float
    """When a signal is sent, if one is (monotonic seconds)."""

    def signal(self) -> None:
        """Wait for the moment, and send the signal to a process that still runs."""
        if "random time" in self.kind and self.worker.wait(max(0.0, self.moment - time.monotonic())) is None:
            self.worker.send(signal.Signals[self.kind.partition(" ")[0]])

    def was_struck(self) -> bool:
        """Wait for the end: did it come to the fault? Its exit code has to be one that the fault allows."""
        code = self.worker.wait()
        allowed = {ExitCode.OK, *FAULTS[self.kind]}
        assert code in allowed, (self.kind, code, self.worker.log.read_text())
        return self.worker.struck if "store" in self.kind else code != ExitCode.OK


@dataclass
class Campaign:
    """A job of random size and the faults that have struck it."""

    folder: Path
    rng: random.Random
    struck: Counter[str] = field(default_factory=Counter)
    """Faults by kind, those of twins among them; a fault that came too late is not counted."""

    def __post_init__(self) -> None:
        source = self.folder / "source"
        write_parquet(source / "a.parquet", self._texts())
        write_jsonl(source / "b.jsonl", self._texts())
        recipe = make_recipe(
            source,
            self.folder / "output",
            prompts=PROMPTS[: self.rng.randint(1, 3)],
            rollouts=self.rng.randint(1, 2),
            documents_per_shard=self.rng.randint(8, 30),
        )
        self.job = JobFiles(self.folder, recipe)
        self._kept: dict[str, str] = {}

    def _texts(self) -> list[str | None]:
        """Some are empty or missing: errors that have to be there as exactly as the others."""
        count = self.rng.randint(5, 40)
        texts = [f"text {self.rng.random()} " * self.rng.randint(1, 9) for _ in range(count)]
        return [self.rng.choice(["", None]) if self.rng.random() < 0.15 else text for text in texts]

    def run(self, faults: int) -> None:
        """From planning to the proof. Stops to disturb when the shards are done, or at so many faults."""
        plan, finalize = self.job.words("plan"), self.job.words("finalize")
        for _ in range(self.rng.randint(0, 2)):
            self._disturb(plan)
        self.job.succeed(plan)
        while self.struck.total() < faults and (unfinished := self._unfinished()):
            self._disturb(self.job.generate(self.rng.choice(unfinished)), twin=self.rng.random() < 0.3)
        for shard in range(self.job.shards):
            self.job.succeed(self.job.generate(shard))
        self._check_nothing_changed()
        for _ in range(self.rng.randint(0, 2)):
            self._disturb(finalize)
        self.job.succeed(finalize)
        self._prove()

    def _unfinished(self) -> list[int]:
        output = self.job.output
        return [shard for shard in range(self.job.shards) if not (output / layout.manifest(shard)).exists()]

    def _disturb(self, words: list[str], *, twin: bool = False) -> None:
        """Run a command, or two of it at once, and let something happen to each."""
        with ExitStack() as stack:
            attempts = [self._start(words, stack) for _ in range(2 if twin else 1)]
            for attempt in sorted(attempts, key=lambda attempt: attempt.moment):
                attempt.signal()
            self.struck.update(attempt.kind for attempt in attempts if attempt.was_struck())
        self._check_nothing_changed(finalizing=words[0] == "finalize")

    def _start(self, words: list[str], stack: ExitStack) -> Attempt:
        """Start a process with a fault ahead of it."""
        kind = self.rng.choice(list(FAULTS))
        at, times = self.rng.randint(1, DEEPEST), self.rng.randint(2, 12)
        after = self.rng.random() < 0.5
        faults = {
            "SIGKILL at an operation of the store": StoreFault(kind="kill", at=at, after=after),
            "SIGTERM at an operation of the store": StoreFault(kind="terminate", at=at, after=after),
            "an operation of the store fails": StoreFault(kind="fail", at=at, after=False),
            "an answer of the store is lost": StoreFault(kind="fail", at=at, after=True),
            "the store is away for a while": StoreFault(kind="fail", at=at, after=after, count=times),
            "the store stays away": StoreFault(kind="fail", at=at, after=False, count=1_000_000),
        }
        dies = {"REPHRASE_SIMULATED_DIE_AFTER": str(self.rng.randint(0, 60))}
        environment = dies if kind == "the engine dies" else {}
        # A container that restarts has the pod of an earlier one, and sometimes that one is still there.
        again = self.rng.random() < 0.2
        pod = self.rng.randint(1, self.job.attempts + 1) if again else self.job.attempts + 1
        moment = time.monotonic() + self.rng.uniform(0, LONGEST_SECONDS)
        worker = stack.enter_context(self.job.start(words, pod, faults.get(kind), **environment))
        return Attempt(kind, worker, moment)

    def _check_nothing_changed(self, *, finalizing: bool = False) -> None:
        """A committed file never changes nor goes, until finalizing removes the segments.

        Planning's probes are no commits: each is removed, at the latest by finalizing when its planner died.
        """
        passing = (layout.ACCOUNT, layout.QUALITY, layout.REPORT, layout.CARD, f"{layout.PROBES}/")
        digests = _digests(self.job.output)
        now = {path: digest for path, digest in digests.items() if not path.startswith(passing)}
        kept = {
            path: digest
            for path, digest in self._kept.items()
            if not (finalizing and path.startswith(layout.SEGMENTS))
        }
        assert [path for path, digest in kept.items() if now.get(path) != digest] == []
        self._kept = now

    def _prove(self) -> None:
        """The dataset is what undisturbed workers make of the source, and every account agrees with it."""
        quiet = self._undisturbed()
        account = json.loads((self.job.output / layout.ACCOUNT).read_bytes())
        assert (account["missingShards"], account["unfinishedFiles"]) == (0, 0)
        for prompt in self.job.recipe.prompts:
            rows = self.job.rows(prompt.name)
            assert _unsigned(rows) == _unsigned(quiet.rows(prompt.name))
            assert all((row["text"] is None) != (row["error"] is None) for row in rows)
            self._prove_manifests(prompt.name)
            totals = account["prompts"][prompt.name]
            errors = sum(row["error"] is not None for row in rows)
            assert (totals["planned"], totals["error"], totals["missing"]) == (len(rows), errors, 0)
        assert not (self.job.output / layout.SEGMENTS).exists()
        assert not any((self.job.output / layout.PROBES).glob("*"))

    def _prove_manifests(self, prompt: str) -> None:
        for shard in range(self.job.shards):
            manifest = Manifest.model_validate_json((self.job.output / layout.manifest(shard)).read_bytes())
            file, account = self.job.output / layout.sample_file(prompt, shard), manifest.prompts[prompt]
            rows = pq.read_table(file).to_pylist()
            assert account.bytes == file.stat().st_size
            assert account.text == sum(row["text"] is not None for row in rows)
            assert account.error == sum(row["error"] is not None for row in rows)
            assert account.output_tokens == sum(row["output_tokens"] for row in rows)
        assert len(list((self.job.output / prompt).iterdir())) == self.job.shards

    def _undisturbed(self) -> JobFiles:
        """The same job without a fault, in a folder beside it."""
        folder = self.folder / "undisturbed"
        output = Output(uri=str(folder / "output"))
        quiet = JobFiles(folder, self.job.recipe.model_copy(update={"output": output}))
        quiet.succeed(quiet.words("plan"))
        for shard in range(quiet.shards):
            quiet.succeed(quiet.generate(shard))
        return quiet


def _unsigned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without the number of the process that made each text."""
    return [row | {"text": row["text"] and row["text"].rpartition(" ")[0]} for row in rows]


def _digests(folder: Path) -> dict[str, str]:
    """Content of every file below the folder, by its path there; killed writers' leavings left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not is_temporary(path.name)
    }
