"""Writes docs/reference/ from the code: `rephrasejob` from the CRD, `metrics` from the collectors, `commands`
from the command line and the worker's contract, `profiles` from the engine profiles. `make generate` runs it.
"""
