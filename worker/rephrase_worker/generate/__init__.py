"""`rephrase-worker generate`: it makes samples from the documents of one shard.

`shard` puts the parts together; `loop` runs them: `prefetch`, the prompts of the room `rendering`, the
`window` of requests to the engine, the rows of `work`, and the `watchdog` over it all.
"""
