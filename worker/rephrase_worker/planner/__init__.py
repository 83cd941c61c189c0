"""`rephrase-worker plan`: the source is listed once, revisions are pinned, and the shards are frozen.

`planner` does it and reads plans back; `sharding` cuts by what `throughput` expects; `pinning` asks the Hub.
"""

from rephrase_worker.planner.planner import plan

__all__ = ["plan"]
