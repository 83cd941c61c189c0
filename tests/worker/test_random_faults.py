"""Random faults on worker processes: whatever strikes, and when, every document comes out exactly once.

`make test` has a few of them. Many, as is due after a change of how samples are committed:

    REPHRASE_FAULTS=500 REPHRASE_FAULTS_SEED=7 \
        python -m pytest --log-cli-level=INFO tests/worker/test_random_faults.py
"""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from pathlib import Path

from tests.worker.fault_campaign import Campaign

log = logging.getLogger(__name__)

FAULTS = int(os.environ.get("REPHRASE_FAULTS", "12"))
SEED = int(os.environ.get("REPHRASE_FAULTS_SEED", "5"))
FAULTS_OF_A_JOB = 12
"""At most about so many: then the job is left to finish, and the next one begins."""


def test_random_faults_on_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    struck: Counter[str] = Counter()
    jobs = 0
    while struck.total() < FAULTS:
        jobs += 1
        campaign = Campaign(tmp_path / f"job-{jobs}", rng)
        campaign.run(min(FAULTS_OF_A_JOB, FAULTS - struck.total()))
        struck += campaign.struck
    log.info("seed %d: %d faults on %d jobs", SEED, struck.total(), jobs)
    for kind, count in sorted(struck.items()):
        log.info("%5d  %s", count, kind)
