"""The source: which files it has, what is in them, and the documents of one shard.

Planning uses `files` and `inspection`; generating uses `reader`, over `parquet` and `jsonl`. What a line and
a document are is in `lines`, for both.
"""
