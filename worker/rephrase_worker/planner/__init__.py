"""`rephrase-worker plan`: it lists the source once, pins revisions, and freezes the shards.

`planner` does it and reads plans back; `sharding` cuts by what `throughput` expects; `pinning` asks the Hub.
"""

from rephrase_worker.planner.planner import plan

__all__ = ["plan"]
