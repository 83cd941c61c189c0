"""What a dataset's texts are like: figures that show template collapse and broken outputs while they happen.

`measure` turns a batch of samples into `counts`, which add up in any order: over batches, shards and
processes. `state` keeps a shard's counts beside its manifest, and `report` turns counts into figures.
`structure` has one checker a file.
"""
