"""Recounts a finished dataset against its plan and its manifests, row by row: nothing lost, nothing doubled.

`recount` and `files` read; pure functions judge what was read: `plans` (is the plan whole?), `positions` (is
every key of a shard there once?), `shards` (do the files hold what the manifest says?), `accounts` (do the
manifests add up to account.json?). `mixed` does all of it for the mix. Each of them names `faults`.
"""

from rephrase_worker.verify.faults import Depth, Fault, FaultKind, Outcome, Verification
from rephrase_worker.verify.recount import Progress, verify

__all__ = ["Depth", "Fault", "FaultKind", "Outcome", "Progress", "Verification", "verify"]
