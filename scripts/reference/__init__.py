"""Writes docs/reference/ from the code: `rephrasejob` from the CRD, `metrics` from the collectors, `commands`
from the command line and the worker's contract, `profiles` from the engine profiles, `values` from the chart,
whose schema gets its descriptions too. `make generate` runs it.
"""
