"""The source: which files it has, what is in them, and the documents of one shard.

Planning finds files (`files`, by `pattern` and `names`) and looks into them (`inspection`, `kinds`);
generating uses `reader`, over `parquet` and `jsonl`. Both open files through `opened` and `decompress`, and
both use `lines` and `ids` for what a line and an id are.
"""
