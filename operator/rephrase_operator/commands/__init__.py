"""The subcommands of `rephrase` that people run from their own machines.

`watch` follows a job until it ends; `display` draws it.
"""
