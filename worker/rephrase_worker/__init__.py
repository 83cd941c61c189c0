"""The worker: plans a source into shards, rephrases one shard with vLLM, adds up the result.

It knows nothing of Kubernetes. `spec` is its contract with the operator, `cli` its three commands, each a
folder: `planner`, `generate`, `finalizer`. Beside `spec` lie the plain data that all of them share.
"""
