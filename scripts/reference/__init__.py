"""Writes docs/reference/ from the code: `rephrasejob` from the CRD, `metrics` from the collectors, `commands`
from the command line and the worker's contract. `make generate` runs it.
"""
