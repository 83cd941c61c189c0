"""What happens in the run: jobs are applied, workers are killed, and a moment of the real job is kept.

The pictures show this moment, so that everything that a running job has is in them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.dashboard import jobs
from scripts.dashboard.stage import SCRAPE_SECONDS, Stage
from scripts.demo import model

SECONDS = 1500
"""Longest wait for what a job does: the machine may be busy."""
MOMENT = 0.7
"""Share of the real job that is finished at the moment of the pictures."""


class StoryError(Exception):
    """A job did not get on; the message says which, and where the logs are."""


@dataclass(frozen=True)
class Record:
    """When the run began and when its moment was, in seconds since 1970."""

    began: float
    moment: float


def play(stage: Stage) -> Record:
    """Run the jobs until that moment; what they have left is not waited for. Raises StoryError."""
    simulated = stage.folder / "simulated"
    jobs.write_simulated_input(simulated / "input")
    jobs.write_real_input(stage.claim("data") / "input")
    shutil.copytree(model.ensure_demo_model(), stage.claim("models") / jobs.MODEL)
    began = time.time()
    stage.cluster.apply(jobs.real())
    say(f"{jobs.REAL} runs vLLM on this machine's CPU; this takes some minutes")
    _wait(stage, jobs.REAL, "a first commit", lambda status: _progress(status, "samplesText") >= 8)
    stage.cluster.apply(*jobs.simulated(simulated))
    _kill_worker(stage, jobs.REAL)
    say(f"killed a worker of {jobs.REAL}; its shard is resumed")
    _wait(stage, jobs.FAST, "samples", lambda status: _progress(status, "samplesText") >= 500)
    _kill_worker(stage, jobs.FAST)
    _wait(stage, jobs.REAL, f"{MOMENT:.0%}", lambda status: _progress(status, "ratio") >= MOMENT)
    time.sleep(3 * SCRAPE_SECONDS)  # for scrapes of this state, and a rate over them
    return Record(began, _between_ticks(time.time()))


def _between_ticks(now: float) -> float:
    """The last quarter past or to a minute. Axes name half minutes; one at a picture's edge is cut off."""
    return now - (now - 15) % 30


def say(text: str) -> None:
    """Tell the user what goes on."""
    sys.stdout.write(f"dashboard: {text}\n")
    sys.stdout.flush()


def _progress(status: dict[str, Any], name: str) -> float:
    return float((status.get("progress") or {}).get(name) or 0)


def _wait(stage: Stage, job: str, what: str, reached: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = stage.cluster.get("rephrasejob", job, "--namespace", jobs.namespace_of(job))
        status: dict[str, Any] = found.get("status") or {}
        if reached(status):
            return
        if status.get("phase") in ("Failed", "Suspended"):
            raise StoryError(
                f"{job} is {status['phase']}: {status.get('message')}; logs are in {stage.folder}"
            )
        time.sleep(1)
    raise StoryError(f"{job} did not reach {what} within {SECONDS} s; logs are in {stage.folder}")


def _kill_worker(stage: Stage, job: str) -> None:
    """SIGKILL what runs in one of a job's workers, as the kernel does when memory is short."""
    label = f"rephrase.dev/job={job},rephrase.dev/step=generate"
    words = (
        "pods",
        "--namespace",
        jobs.namespace_of(job),
        "-l",
        label,
        "--field-selector=status.phase=Running",
    )
    pod = stage.cluster.get(*words)["items"][0]
    mark = f"POD_UID={pod['metadata']['uid']}".encode()
    for found in Path("/proc").glob("[0-9]*"):
        try:
            mine = mark in (found / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # It ended, or belongs to another user.
        if mine:
            os.kill(int(found.name), signal.SIGKILL)
