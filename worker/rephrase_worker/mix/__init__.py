"""Mixing: a finished dataset's outputs and original data become one shuffled dataset, by share of tokens.

`freeze` makes the plan (`dealing` says which shard gets what), `shard` makes one shard of it, and `account`
adds the shards up. Everything is decided by the seed and by what is frozen, so any process, at any time,
makes the same files.
"""
