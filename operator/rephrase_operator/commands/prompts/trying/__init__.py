"""Prompts on a few documents: what is read (`inputs`), who answers (`local`, `server`), what is shown.

`answers` is the data between them. None of it needs a cluster.
"""
