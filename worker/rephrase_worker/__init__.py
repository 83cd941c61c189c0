"""The worker: it cuts a source into shards, rephrases a shard with vLLM, and adds up the results.

It knows nothing of Kubernetes. `spec` is its contract with the operator, `cli` its three commands, each a
folder: `planner`, `generate`, `finalizer`. Beside `spec` lie the plain data that all of them share.
"""
