"""The sink of one shard: it takes samples in any order and writes each of them exactly once.

`sink` commits segments and finds them again; `merge` makes the final file and its account of them.
"""

from rephrase_worker.sink.sink import Committed, ShardSink

__all__ = ["Committed", "ShardSink"]
