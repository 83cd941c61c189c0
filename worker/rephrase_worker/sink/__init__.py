"""The sink of one shard: samples go in in any order, and come out exactly once.

`sink` commits segments and finds them again; `merge` makes the final file and its account of them.
"""

from rephrase_worker.sink.sink import Committed, ShardSink

__all__ = ["Committed", "ShardSink"]
